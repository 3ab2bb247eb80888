"""Two things timed in turn, in random order, until the ratio is known narrowly enough."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from harness.analysis.cost import Ratio, paired_ratio

FEWEST, MOST = 8, 2000


def ratio_of(
    one: Callable[[], object], other: Callable[[], object], half_width: float, limit_s: float
) -> Ratio:
    """t(one) / t(other) by pairs, until its 95 % interval is ±half_width or the time is over."""
    random_order = random.Random(0)
    times: dict[int, float] = {}
    others: dict[int, float] = {}
    deadline = time.perf_counter() + limit_s
    one(), other()  # the first calls pay for what is made once
    found = None
    for pair in range(MOST):
        order = [(one, times), (other, others)]
        random_order.shuffle(order)
        for call, kept in order:
            kept[pair] = seconds(call)
        if pair + 1 >= FEWEST:
            found = paired_ratio(times, others)
            assert found is not None
            if found.half_width <= half_width or time.perf_counter() > deadline:
                break
    assert found is not None
    return found


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def format_ratio(ratio: Ratio) -> str:
    return f"{ratio.point:.4f} ({ratio.low:.4f}–{ratio.high:.4f}, {ratio.blocks} pairs)"
