"""Numbers as text: significant digits, units, and a dash for unknown values."""

from __future__ import annotations

import math
import re
from typing import Any

DASH = "–"
# Control characters, marks that reverse the direction of text, and halves of characters.
UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
# Interval bounds beyond these only say that the blocks were too few.
SMALLEST_RATIO, LARGEST_RATIO = 0.01, 100


def printable(text: str) -> str:
    """Text from a record, which may come from anywhere, without what a terminal would obey."""
    return UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def is_known(value: Any) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def figure(value: Any, digits: int = 3) -> str:
    """Format a number to ``digits`` significant digits; exactly 0 stays 0."""
    if not is_known(value):
        return DASH
    if value == 0:
        return "0"
    if 10**digits <= round(abs(value), 1) + 0.5 and abs(value) < 1e7:  # 144, not 1.4e+02
        return f"{value:.0f}"
    return f"{value:.{digits}g}"


def percent(value: Any, digits: int = 2) -> str:
    return f"{figure(100 * value, digits)} %" if is_known(value) else DASH


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def interval(low: Any, high: Any, decimals: int = 3) -> str:
    if not (is_known(low) and is_known(high)):
        return DASH
    start = f"{low:.{decimals}f}" if low >= SMALLEST_RATIO else f"<{SMALLEST_RATIO}"
    end = f"{high:.{decimals}f}" if high <= LARGEST_RATIO else f">{LARGEST_RATIO}"
    return f"{start}–{end}"


def join_words(words: list[str], last: str = "and") -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def plural(number: int, noun: str) -> str:
    if number == 1:
        return f"1 {noun}"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{number} {noun[:-1]}ies"
    return f"{number} {noun}{'es' if noun.endswith('s') else 's'}"
