"""Whether the first calls of numerical libraries in a process are those of the training.

A library sets itself up in its first call, which several threads may make at once
(docs/findings/mkl-first-call.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, loaded

SIZE = 64  # rows of a matrix: enough to wake the threads of a product
made: list[str] = []


@contextmanager
def _made_before() -> Iterator[None]:
    torch = loaded("torch")
    ones = torch.ones(SIZE, SIZE)
    ones[0, :1].exp()  # one number, so one thread
    ones @ ones
    made.append("before")
    yield


def _levels(_: Cell) -> list[Level]:
    return [Level("before", "libraries called before the training", inside=_made_before)]


def _read() -> str:
    return " ".join(made) or "by the training"


FIRST_CALLS = Factor("first_calls", "first library calls", Group.surroundings, _levels, _read)
