"""How often Python switches between its own threads."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level

OFTEN_S, RARELY_S = 1e-6, 0.5  # Python's own: 0.005


@contextmanager
def _interval(seconds: float) -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _levels(_: Cell) -> list[Level]:
    return [
        Level("often", "Python threads switched often", inside=lambda: _interval(OFTEN_S)),
        Level("rarely", "Python threads switched rarely", inside=lambda: _interval(RARELY_S)),
    ]


def _read() -> str:
    return f"{sys.getswitchinterval():g} s"


THREAD_SWITCHES = Factor(
    "thread_switches", "Python thread switches", Group.schedule, _levels, _read
)
