"""The prose of a page and the numbers in it."""

from __future__ import annotations

import re
from collections.abc import Iterator

# What stands on a page and is not measured: versions, names, numbers of issues, hardware.
NOT_MEASURED = (
    r"Python 3\.11(, |、)3\.12( or |、)3\.13",
    r"CC BY 4\.0",
    r"torch 2\.\d+(\.\d)?(\+\w+)?",
    r"(pytorch|PyTorch) issues? \d+|in \d{6}",
    r"float(16|32|64)|bfloat16|AVX2|AVX-512|x86|H100|ResNet-18|\(80 GB\)",
    r"(2,048|4,096) elements|the 16 functions",  # read in the source of torch
    r"90 秒|10 分钟",
)
COMMAND = re.compile(r"\s*(make|python|determinism-harness|from|git|pip)\b")


def uncovered(page: str, sentences: list[str]) -> Iterator[str]:
    """Yield what surrounds each number of a page that is neither recomputed nor a known name."""
    text = words(_prose(page))
    for sentence in sorted(sentences, key=len, reverse=True):
        text = text.replace(words(_prose(sentence)), " … ")
    for pattern in NOT_MEASURED:
        text = re.sub(pattern, " … ", text)
    for match in re.finditer(r"\d[\d,.]*", text):
        yield text[max(0, match.start() - 40) : match.end() + 30]


def _prose(page: str) -> str:
    """A page without commands, targets of links, and names in code."""

    def keep(fence: re.Match[str]) -> str:
        return "" if COMMAND.match(fence[1]) else fence[1]

    page = re.sub(r"```\w*\n(.*?)```", keep, page, flags=re.DOTALL)
    page = re.sub(r"\]\([^)]*\)", "]", page)
    return re.sub(r"`[^`]*`", lambda code: re.sub(r"\d", "", code[0]), page)


def numbers(page: str) -> list[str]:
    text = _prose(page)
    for pattern in NOT_MEASURED:
        text = re.sub(pattern, " ", text)
    return re.findall(r"\d[\d,.]*\d|\d", text)


def words(text: str) -> str:
    return " ".join(text.split())
