"""A cell under the clock: each training adds to its times, the first one gives its results."""

from __future__ import annotations

import dataclasses
import time

import torch

from harness.core.record import Timed
from harness.core.spec import RunSpec
from harness.host.peak_memory import peak_resident_mb
from harness.worker.backend import TimedRun
from harness.worker.timing import StepTimes, add_times
from harness.worker.torch_backend import components, trace
from harness.worker.torch_backend.timer import time_training
from harness.worker.torch_backend.training import build_training

LONGEST_TIMING = 4  # times ``min_s``, for trainings whose preparation takes longer than their steps


class TimedCell:
    """``result`` exists after the first training."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec, self.device = spec, torch.device(spec.cell.device)
        self.times: StepTimes | None = None
        self.spent_s = 0.0  # on the trainings after the first one
        self.result: TimedRun

    @property
    def is_done(self) -> bool:
        """Whether enough was counted, or so much time spent that more is not worth it."""
        if self.times is None:
            return False
        enough = self.times.counted_s >= self.spec.min_s
        return enough or self.spent_s >= LONGEST_TIMING * self.spec.min_s

    def train(self) -> None:
        """Apply the setting, build the training and time its steps."""
        start = time.perf_counter()
        training = build_training(self.spec, self.device)
        setup_s = time.perf_counter() - start
        times = time_training(training, self.spec.warmup, self.device)
        if self.times is None:
            peak = peak_mb(self.device)
            evaluation = training.evaluate()
            self.result = TimedRun(
                setup_s=setup_s,
                peak_mb=peak,
                timed=Timed(
                    counted_s=times.counted_s,
                    counted_steps=times.counted_steps,
                    step_s=times.step_s,
                    final=components.final_digests(training, times.loss, evaluation),
                    loss=trace.mean_loss(times.loss),
                    accuracy=evaluation.accuracy,
                    facts=training.facts(),
                ),
            )
            self.times = times
            return
        self.times = add_times(self.times, times)
        self.spent_s += time.perf_counter() - start

    def count_instead(self, counted_s: float, counted_steps: int) -> None:
        """Replace what was counted by what was counted in turns with other cells."""
        assert self.times is not None
        self.times = dataclasses.replace(
            self.times, counted_s=counted_s, counted_steps=counted_steps
        )

    def finish(self) -> TimedRun:
        """Return the first training's results with the times of all."""
        assert self.times is not None
        timed = dataclasses.replace(
            self.result.timed,
            counted_s=self.times.counted_s,
            counted_steps=self.times.counted_steps,
            step_s=self.times.step_s,
        )
        return dataclasses.replace(self.result, timed=timed)


def peak_mb(device: torch.device) -> float:
    """Return the peak in MiB: device memory allocated on CUDA, else the resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return peak_resident_mb()
