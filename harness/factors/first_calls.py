"""Whether the first vector-math call of a process is one of the training.

The library sets itself up in its first call, which several threads may make at once
(docs/findings/mkl-first-call.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, loaded, without_torch

made: list[str] = []


@contextmanager
def _made_before() -> Iterator[None]:
    # One number, so one thread: a process that is forked later must not inherit a pool of threads.
    loaded("torch").ones(1).exp()
    made.append("before")
    yield


def _levels(_: Cell) -> list[Level]:
    return [Level("before", "a vector-math call before the training", inside=_made_before)]


def _read() -> str:
    return " ".join(made) or "by the training"


FIRST_CALLS = Factor(
    "first_calls", "first vector-math call", Group.surroundings, _levels, _read, without_torch
)
