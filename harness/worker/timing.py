"""The timing run: the training's own three lines with a clock around them, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, Protocol

from harness.core.errors import UsageError


class TimedTraining(Protocol):
    """What any framework's training is to a clock."""

    def batches(self) -> Iterable[Any]: ...

    def step(self, batch: Any) -> Any: ...


@dataclass(frozen=True)
class Clock:
    """``seconds(before, after)`` lie between two marks; a mark must not wait for the device."""

    mark: Callable[[], Any]
    seconds: Callable[[Any, Any], float]
    synchronise: Callable[[], None]


@dataclass(frozen=True)
class StepTimes:
    counted_s: float
    counted_steps: int
    step_s: list[float]
    loss: Any


def time_steps(training: TimedTraining, warmup: int, clock: Clock) -> StepTimes:
    """Trains; t = (synchronised end - synchronised start) / counted steps, fetching included.

    A synchronisation per step would time the synchronisation: single steps only get marks.
    """
    mark, step = clock.mark, training.step
    batches = iter(training.batches())
    loss = None
    marks = [mark()]
    for batch in islice(batches, warmup):
        loss = step(batch)
        marks.append(mark())
    clock.synchronise()
    start = time.perf_counter()
    for batch in batches:
        loss = step(batch)
        marks.append(mark())
    clock.synchronise()
    end = time.perf_counter()
    counted = len(marks) - 1 - warmup
    if loss is None or counted < 1:
        raise UsageError(
            f"timing.warmup={warmup} leaves no counted step of {len(marks) - 1}: "
            "use a smaller timing.warmup or more steps"
        )
    step_s = [clock.seconds(before, after) for before, after in pairwise(marks)]
    return StepTimes(end - start, counted, step_s, loss)


def elapsed(before: float, after: float) -> float:
    """Between two marks of time.perf_counter."""
    return after - before
