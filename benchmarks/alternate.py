"""Paired timing of two functions in random order, until the ratio is precise enough."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from harness.analysis.cost import Ratio, paired_ratio

FEWEST, MOST = 8, 2000


def ratio_of(
    first: Callable[[], object], second: Callable[[], object], half_width: float, limit_s: float
) -> Ratio:
    """Return t(first) / t(second), measured in pairs.

    Stops when the 95 % interval is within ±``half_width``, or after ``limit_s`` seconds.
    """
    random_order = random.Random(0)
    first_s: dict[int, float] = {}
    second_s: dict[int, float] = {}
    deadline = time.perf_counter() + limit_s
    first(), second()  # warm-up: the first calls include one-time costs
    ratio = None
    for pair in range(MOST):
        order = [(first, first_s), (second, second_s)]
        random_order.shuffle(order)
        for call, times in order:
            times[pair] = seconds(call)
        if pair + 1 >= FEWEST:
            ratio = paired_ratio(first_s, second_s)
            assert ratio is not None
            if ratio.half_width <= half_width or time.perf_counter() > deadline:
                break
    assert ratio is not None
    return ratio


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def format_ratio(ratio: Ratio) -> str:
    return f"{ratio.point:.4f} ({ratio.low:.4f}–{ratio.high:.4f}, {ratio.blocks} pairs)"
