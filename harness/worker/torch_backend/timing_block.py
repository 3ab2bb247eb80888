"""A block in one process: a baseline, its twin and other cells are timed in turn.

Step times differ more between processes (by a tenth on a small machine) than within one, so ratios
within a process are far more precise. Each round trains every cell once in random order and once in
the reverse of that order (ABBA), which cancels any drift that is linear in time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import torch

from harness.core.spec import RunSpec
from harness.worker.backend import BlockArm
from harness.worker.torch_backend import settings
from harness.worker.torch_backend.timed_cell import TimedCell
from harness.worker.torch_backend.trace import release_memory


def run_block(spec: RunSpec) -> list[BlockArm]:
    """Time all arms until each has counted ``min_s``; all that complete get equally many trainings.

    The arm that an exception ends keeps that as its result. Order: that of ``spec.arms`` and its
    reverse in the first round, then drawn from a generator that the run's id seeds.
    """
    arms = [_TimedArm(arm) for arm in spec.of_arms()]
    restore = settings.remember()
    for order in _orders(len(arms), spec.run_id):
        for index in order:
            restore()
            arms[index].train()
        if all(arm.is_done for arm in arms):
            break
    restore()
    return [arm.finish() for arm in arms]


def _orders(arms: int, seed: str) -> Iterator[list[int]]:
    shuffle = random.Random(seed).shuffle
    order = list(range(arms))
    while True:
        yield [*order, *reversed(order)]
        shuffle(order)


class _TimedArm:
    def __init__(self, spec: RunSpec) -> None:
        self.cell = TimedCell(spec)
        self.outcome = BlockArm()

    @property
    def is_done(self) -> bool:
        return self.outcome.error is not None or self.cell.is_done

    def train(self) -> None:
        if self.outcome.error is not None:
            return
        is_first = self.cell.times is None
        if is_first:
            release_memory(self.cell.device)
            _reset_peak(self.cell.device)
        error = None
        try:
            self.cell.train()
        except Exception as raised:  # noqa: BLE001 - it becomes the arm's outcome
            error = raised
        if is_first or error:
            self.outcome = BlockArm(
                error=error,
                effective=settings.effective_settings(),
                threads=torch.get_num_threads(),
            )

    def finish(self) -> BlockArm:
        """On a CPU without peak memory: that of the process is the peak of all arms together."""
        if self.outcome.error is not None:
            return self.outcome
        run = self.cell.finish()
        if self.cell.device.type != "cuda":
            run = replace(run, peak_mb=None)
        return replace(self.outcome, run=run)


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
