"""Trainings of a block take turns of a few steps, so that every disturbance hits them alike.

Trained one after the other, each for a second or so, equal trainings differ by 5 to 8 % on a small
machine, whose speed changes within seconds. In turns of 10 to 20 ms they differ by 1 to 2 %.
"""

from __future__ import annotations

import gc
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import psutil
import torch

from harness.core.spec import RunSpec
from harness.scenario import Training
from harness.worker.timing import StepTimes
from harness.worker.torch_backend import settings
from harness.worker.torch_backend.timed_cell import LONGEST_TIMING
from harness.worker.torch_backend.timer import make_clock
from harness.worker.torch_backend.training import build_training

TURN_S = 0.01
UNCOUNTED = 1  # first steps of a turn, which find the caches as another training left them


class TurnTaker:
    """A training that goes on for some steps with its own switches and random generators."""

    def __init__(self, spec: RunSpec) -> None:
        self.spec, self.device = spec, torch.device(spec.cell.device)
        self.synchronize = make_clock(self.device).synchronize
        self.counted_s, self.counted_steps = 0.0, 0
        self.pending: list[tuple[float, int]] = []  # turns of the pair of rounds under way
        self.training: Training
        self.batches: Iterator[Any]
        self.resume: Callable[[], None]

    def begin(self) -> None:
        """Build the training and take the steps of its warm-up."""
        self.training = build_training(self.spec, self.device)
        self.batches = iter(self.training.batches())
        self._step(self.spec.warmup)
        self.resume = settings.suspend(self.spec.determinism)

    def take(self, steps: int) -> bool:
        """Count the time of these steps unless the training ends before; whether it did not."""
        self.resume()
        self._step(UNCOUNTED)
        self.synchronize()
        start = time.perf_counter()
        taken = self._step(steps)
        self.synchronize()
        self.pending.append((time.perf_counter() - start, taken))
        self.resume = settings.suspend(self.spec.determinism)
        return taken == steps

    def _step(self, most: int) -> int:
        taken = 0
        for batch in islice(self.batches, most):
            self.training.step(batch)
            taken += 1
        return taken

    def count(self) -> None:
        self.counted_s += sum(seconds for seconds, _ in self.pending)
        self.counted_steps += sum(steps for _, steps in self.pending)


def take_turns(
    takers: Sequence[TurnTaker],
    first: StepTimes,
    orders: Iterable[Sequence[int]],
    restore: Callable[[], None],
) -> bool:
    """Train until each training has counted its ``min_s``; whether they could take turns.

    They cannot if they have too few steps, or if they start processes or threads, which would go on
    in another one's turn. ``first`` are the times of an earlier training of the first of them,
    ``orders`` come in pairs, of which the second reverses the first, and ``restore`` puts the
    process's switches back. A training's exception propagates.
    """
    shortest, longest = turn_lengths(first)
    if shortest < 1:
        return False
    pairs = zip(*[iter(orders)] * 2, strict=True)
    draw = random.Random(0)  # turns of one length would never count every second step, for example
    alone = _companions()
    deadline = time.perf_counter() + LONGEST_TIMING * sum(taker.spec.min_s for taker in takers)
    while not _is_enough(takers, deadline):
        for taker in takers:
            restore()
            gc.collect()
            taker.begin()
            if _companions() > alone:
                return False
        taken = 0
        while _take_pair(takers, draw.randint(shortest, longest), next(pairs)):
            taken += 1
            if _is_enough(takers, deadline):
                return True
        if not taken:  # one of them has fewer steps than the first
            return False
    return True


def _companions() -> int:
    """Processes and threads that would go on working in another training's turn."""
    return len(psutil.Process().children()) + threading.active_count()


def _is_enough(takers: Sequence[TurnTaker], deadline: float) -> bool:
    """Whether enough is counted, or so much time spent that more is not worth it."""
    if all(taker.counted_s >= taker.spec.min_s for taker in takers):
        return True
    return time.perf_counter() > deadline and all(taker.counted_s > 0 for taker in takers)


def turn_lengths(times: StepTimes) -> tuple[int, int]:
    """The fewest steps that a turn counts, which take TURN_S, and the most, twice as many.

    A training has at least two turns of them; 0 if it is too short for that.
    """
    pace = times.counted_s / times.counted_steps
    fit = max(0, times.counted_steps // 2 - UNCOUNTED)
    steps = max(1, round(TURN_S / pace))
    return min(steps, fit), min(2 * steps, fit)


def _take_pair(takers: Sequence[TurnTaker], steps: int, pair: Iterable[Sequence[int]]) -> bool:
    """Let all take a turn forth and one back; count both unless a training has ended."""
    for taker in takers:
        taker.pending.clear()
    for order in pair:
        for index in order:
            if not takers[index].take(steps):
                return False
    for taker in takers:
        taker.count()
    return True
