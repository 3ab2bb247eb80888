"""The timing loop: a training's own three lines with a clock around them, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, Protocol

from harness.core.errors import UsageError


class TimedTraining(Protocol):
    """What the timing loop needs from a training of any framework."""

    def batches(self) -> Iterable[Any]: ...

    def step(self, batch: Any) -> Any: ...


@dataclass(frozen=True)
class Clock:
    """``seconds`` measures from one mark to the next; ``mark`` must not wait for the device."""

    mark: Callable[[], Any]
    seconds: Callable[[Any, Any], float]
    synchronize: Callable[[], None]


@dataclass(frozen=True)
class StepTimes:
    counted_s: float
    counted_steps: int
    step_s: list[float]  # warm-up steps included
    loss: Any  # of the last step


def time_steps(training: TimedTraining, warmup: int, clock: Clock) -> StepTimes:
    """Train to the end; t = (synchronized end - synchronized start) / counted steps.

    Batch fetching is timed too. Single steps are only marked: synchronizing after each one would
    time the synchronization. Raises UsageError if ``warmup`` leaves no step to count.
    """
    mark, step = clock.mark, training.step
    batches = iter(training.batches())
    loss = None
    marks = [mark()]
    for batch in islice(batches, warmup):
        loss = step(batch)
        marks.append(mark())
    clock.synchronize()
    start = time.perf_counter()
    for batch in batches:
        loss = step(batch)
        marks.append(mark())
    clock.synchronize()
    end = time.perf_counter()
    counted = len(marks) - 1 - warmup
    if loss is None or counted < 1:
        raise UsageError(
            f"timing.warmup={warmup} leaves none of the {len(marks) - 1} steps to time: "
            "use a smaller timing.warmup or more steps"
        )
    step_s = [clock.seconds(before, after) for before, after in pairwise(marks)]
    return StepTimes(end - start, counted, step_s, loss)


def add_times(first: StepTimes, again: StepTimes) -> StepTimes:
    """Return the times of a training with those of another one, of which only steps that count."""
    return StepTimes(
        first.counted_s + again.counted_s,
        first.counted_steps + again.counted_steps,
        [*first.step_s, *again.step_s[-again.counted_steps :]],
        first.loss,
    )


def elapsed(before: float, after: float) -> float:
    """Return the seconds between two marks of time.perf_counter."""
    return after - before
