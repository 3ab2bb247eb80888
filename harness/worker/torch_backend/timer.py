"""The clock for torch: wall time on a CPU, events on CUDA."""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from harness.scenario import Training
from harness.worker.timing import Clock, StepTimes, elapsed, time_steps


def time_training(training: Training, warmup: int, device: torch.device) -> StepTimes:
    """Train under the clock; ``loss`` is the detached loss of the last step."""
    times = time_steps(training, warmup, make_clock(device))
    return replace(times, loss=times.loss.detach())


def make_clock(device: torch.device) -> Clock:
    """Return a clock that marks steps by wall time on a CPU, and on CUDA by events read later."""

    def synchronize() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def record_event() -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(device))
        return event

    def seconds(before: torch.cuda.Event, after: torch.cuda.Event) -> float:
        milliseconds: float = before.elapsed_time(after)
        return milliseconds / 1000

    if device.type == "cuda":
        return Clock(record_event, seconds, synchronize)
    return Clock(time.perf_counter, elapsed, synchronize)
