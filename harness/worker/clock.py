"""The timing run: the training's own three lines with a clock around them, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any

import torch
from torch import Tensor

from harness.errors import UsageError
from scenarios.base import Training


@dataclass(frozen=True)
class Reading:
    counted_s: float
    counted_steps: int
    step_s: list[float]
    loss: Tensor


def timed(training: Training, warmup: int, device: torch.device) -> Reading:
    """Trains; t = (synchronised end - synchronised start) / counted steps, fetching included.

    Single steps are marked by the wall clock on a CPU and by events, read after the loop, on CUDA:
    a synchronisation per step would time the synchronisation.
    """
    mark, seconds = event_clock(device) if device.type == "cuda" else wall_clock()
    step = training.step
    batches = iter(training.batches())
    loss = None
    marks = [mark()]
    for batch in islice(batches, warmup):
        loss = step(batch)
        marks.append(mark())
    synchronise(device)
    start = time.perf_counter()
    for batch in batches:
        loss = step(batch)
        marks.append(mark())
    synchronise(device)
    end = time.perf_counter()
    counted = len(marks) - 1 - warmup
    if loss is None or counted < 1:
        raise UsageError(f"timing.warmup={warmup} leaves no counted step of {len(marks) - 1}: "
                         "use a smaller timing.warmup or more steps")  # fmt: skip
    step_s = [seconds(before, after) for before, after in pairwise(marks)]
    return Reading(end - start, counted, step_s, loss.detach())


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def wall_clock() -> tuple[Callable[[], Any], Callable[[Any, Any], float]]:
    return time.perf_counter, lambda before, after: after - before


def event_clock(device: torch.device) -> tuple[Callable[[], Any], Callable[[Any, Any], float]]:
    def mark() -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(device))
        return event

    return mark, lambda before, after: before.elapsed_time(after) / 1000
