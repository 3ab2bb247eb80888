"""Torch's clock: the wall's on a CPU, events on CUDA."""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from harness.scenario import Training
from harness.worker.timing import Clock, StepTimes, elapsed, time_steps


def time_training(training: Training, warmup: int, device: torch.device) -> StepTimes:
    """Trains under the clock; the loss is the last step's, without its graph."""
    reading = time_steps(training, warmup, make_clock(device))
    return replace(reading, loss=reading.loss.detach())


def make_clock(device: torch.device) -> Clock:
    """Single steps are marked by the wall clock on a CPU and by events, read after the loop, on
    CUDA.
    """

    def synchronise() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def event() -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(device))
        return event

    def between(before: torch.cuda.Event, after: torch.cuda.Event) -> float:
        milliseconds: float = before.elapsed_time(after)
        return milliseconds / 1000

    if device.type == "cuda":
        return Clock(event, between, synchronise)
    return Clock(time.perf_counter, elapsed, synchronise)
