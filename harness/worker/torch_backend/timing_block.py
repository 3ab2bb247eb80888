"""A block in one process: a baseline, its twin and other cells are timed in turn.

Step times differ more between processes (by a tenth on a small machine) than within one, so ratios
within a process are far more precise. First every cell trains once, which gives its results. Then
they take turns of a few steps, or, where that is not possible, train again one after the other. A
round of turns or trainings is in random order, and the next one in the reverse of that order
(ABBA), which cancels any drift that is linear in time.
"""

from __future__ import annotations

import gc
import random
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import psutil
import torch

from harness.core.spec import RunSpec
from harness.host.peak_memory import peak_resident_mb
from harness.worker.backend import BlockArm
from harness.worker.torch_backend import settings
from harness.worker.torch_backend.timed_cell import TimedCell
from harness.worker.torch_backend.turns import TurnTaker, take_turns


def run_block(spec: RunSpec) -> list[BlockArm]:
    """Time all arms until each has counted ``min_s``; all that complete count equally many steps.

    An arm that an exception ends keeps that as its result. Raises RuntimeError if an arm has made
    the device unusable.
    """
    arms = [_TimedArm(arm) for arm in spec.of_arms()]
    restore = settings.remember()
    gc.freeze()  # so that collecting a training's garbage takes no time
    rounds = orders(len(arms), spec.run_id)
    before_mb = peak_resident_mb()
    _train_all(arms, next(rounds), restore)
    completed = [arm for arm in arms if arm.outcome.error is None]
    if not (_fit(completed, peak_resident_mb() - before_mb) and _alternate(completed, restore)):
        while not all(arm.is_done for arm in arms):
            _train_all(arms, next(rounds), restore)
    restore()
    return [arm.finish() for arm in arms]


def _train_all(
    arms: Sequence[_TimedArm], order: Sequence[int], restore: Callable[[], None]
) -> None:
    for index in order:
        restore()
        gc.collect()
        arms[index].train()


def _fit(arms: Sequence[_TimedArm], grown_mb: float) -> bool:
    """Whether all trainings at once fit into half of the free memory.

    ``grown_mb`` is by how much the process's peak has grown when they trained one by one.
    """
    on_cuda = [arm.cell for arm in arms if arm.cell.device.type == "cuda"]
    if on_cuda:
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info(on_cuda[0].device)
        largest_mb = max(cell.result.peak_mb or 0.0 for cell in on_cuda)
    else:
        free, largest_mb = psutil.virtual_memory().available, grown_mb
    return len(arms) * largest_mb * 2**20 <= free / 2


def _alternate(arms: Sequence[_TimedArm], restore: Callable[[], None]) -> bool:
    """Replace the times of all arms by those of turns; whether that was possible."""
    if not arms or not arms[0].cell.spec.min_s:
        return False
    takers = [TurnTaker(arm.cell.spec) for arm in arms]
    times = [arm.cell.times for arm in arms if arm.cell.times]
    try:
        if not take_turns(takers, times[0], orders(len(arms), takers[0].spec.run_id), restore):
            return False
    except Exception:  # noqa: BLE001 - in a further training it becomes the outcome of its arm
        _check_device(takers[0].device)
        return False
    for arm, taker in zip(arms, takers, strict=True):
        arm.cell.count_instead(taker.counted_s, taker.counted_steps)
    return True


def orders(arms: int, seed: str) -> Iterator[list[int]]:
    """Yield the order of each round: as given, reversed, drawn anew, that reversed, and so on."""
    shuffle = random.Random(seed).shuffle
    order = list(range(arms))
    while True:
        yield list(order)
        yield order[::-1]
        shuffle(order)


class _TimedArm:
    def __init__(self, spec: RunSpec) -> None:
        self.cell = TimedCell(spec)
        self.held_mb = 0.0  # by the results of other arms, when this one was first trained
        self.outcome = BlockArm()

    @property
    def is_done(self) -> bool:
        return self.outcome.error is not None or self.cell.is_done

    def train(self) -> None:
        if self.outcome.error is not None:
            return
        is_first = self.cell.times is None
        if is_first:
            self.held_mb = _reset_peak(self.cell.device)
        error = None
        try:
            self.cell.train()
        except Exception as raised:  # noqa: BLE001 - it becomes the arm's outcome
            error = raised
            traceback.clear_frames(raised.__traceback__)  # which hold the training
            _check_device(self.cell.device)
        if is_first or error:
            self.outcome = BlockArm(
                error=error,
                effective=settings.effective_settings(),
                threads=torch.get_num_threads(),
            )

    def finish(self) -> BlockArm:
        """Without what the arms share: the first prepares the device for all, and on a CPU the
        process's peak memory is that of all.
        """
        if self.outcome.error is not None:
            return self.outcome
        run = self.cell.finish()
        peak_mb = None
        if self.cell.device.type == "cuda" and run.peak_mb is not None:
            peak_mb = run.peak_mb - self.held_mb
        return replace(self.outcome, run=replace(run, setup_s=None, peak_mb=peak_mb))


def _reset_peak(device: torch.device) -> float:
    """Release what earlier arms can spare and return what they hold, in MiB."""
    if device.type != "cuda" or not torch.cuda.is_initialized():
        return 0.0
    torch._C._cuda_clearCublasWorkspaces()  # each arm allocates its own, as alone in a process
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device) / 2**20


def _check_device(device: torch.device) -> None:
    """Raises RuntimeError if an error has made the device unusable for this process."""
    if device.type == "cuda" and torch.cuda.is_initialized():
        torch.cuda.synchronize(device)
