"""One command's wish, whole: the cells and how often, how and where to run them."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from harness.core.claims import Claim
from harness.core.errors import UsageError
from harness.core.spec import Algorithms, Cell, Determinism, Noise

CAPABILITIES = ("default", "avx2", "avx512", "vsx", "zvector", "sve256")  # ATEN_CPU_CAPABILITY
FRESH_MEMORY = ("zeros", "nan", "pattern")  # what empty tensors are filled with
PRECISIONS = ("highest", "high", "medium")  # of torch.set_float32_matmul_precision


@dataclass(frozen=True)
class Runs:
    """How many fresh processes each cell gets, and how often each of them trains when traced."""

    trace: int = 5
    timing: int = 8
    repeats: int = 2


@dataclass(frozen=True)
class Timing:
    warmup: int = 3  # steps that are kept but not counted


@dataclass(frozen=True)
class Trace:
    keep_snapshots: bool = False


@dataclass(frozen=True)
class Study:
    dir: str | None = None  # default: a new folder under results/
    baseline: str | None = "seed"  # a setting; null leaves baseline and twin out
    control: str | None = "indexing"  # a scenario that must vary; null leaves it out
    seed: int = 0  # of the order of the runs
    repeat_failed: bool = True  # measure once more where an A/A twin's check failed


@dataclass(frozen=True)
class Launch:
    timeout_s: float = 600.0  # of one run, from its release
    ahead: int = 4  # workers that import torch before it is their turn
    retries: int = 2  # of a run that was killed from outside


@dataclass(frozen=True)
class Diagnose:
    """Of `python -m harness diagnose`, which asks for one cell."""

    runs: int = 10  # untreated, in fresh processes
    tries: int = 20  # runs whose operations are logged, until two of them part
    window: str | None = None  # of steps to log, as 5 or 5-8; None: found from the trace runs
    most: int = 30  # equal treated runs that a cure may need; where it needs more, undecided

    @property
    def steps(self) -> tuple[int, int] | None:
        """The window's first and last step; raises UsageError where it is none."""
        if self.window is None:
            return None
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", self.window)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if first > last:
            raise UsageError(
                f"diagnose.window={self.window}: a step, or first-last as in 5-8, is "
                "needed; step 0 is the building of the training"
            )
        return first, last


@dataclass(frozen=True)
class Replay:
    """Of `python -m harness replay`, which asks for one cell."""

    step: int = 0  # the first one that a new process makes; 0: the middle of the training
    # What the checkpoint holds; position and *_rng are of the data and of the generators.
    checkpoint: list[str] = field(default_factory=lambda: ["parameters", "buffers", "optimizer"])


@dataclass(frozen=True)
class RequestedCell:
    """A cell and the cell that its cost is measured against."""

    cell: Cell
    baseline: Cell | None
    needs: str = "any"  # the kind of device that it is asked for on: any, cpu, cuda
    timed: bool = True  # a claim's cell is only traced where no cost decides
    for_claim: bool = False  # nobody asked for it but a claim: it may be left out


@dataclass(frozen=True)
class RequestedClaim:
    """A claim and the cells that decide it, by role."""

    claim: Claim
    cells: dict[str, Cell]


@dataclass(frozen=True)
class Request:
    asked: tuple[RequestedCell, ...]
    controls: tuple[Cell, ...]
    runs: Runs
    timing: Timing
    trace: Trace
    study: Study
    launch: Launch
    matrix: str | None
    not_for_conclusions: bool
    settings_for_cuda: tuple[str, ...]  # asked for only where the device is a CUDA one
    words: tuple[str, ...]  # as typed, after `python -m harness`
    claims: tuple[RequestedClaim, ...] = ()
    diagnose: Diagnose = field(default_factory=Diagnose)
    replay: Replay = field(default_factory=Replay)

    def without_frameworks(self, missing: Collection[str]) -> Request:
        """What is left to run where these frameworks cannot; the claims still name all cells."""
        left = (one for one in self.asked if one.cell.scenario.framework not in missing)
        return dataclasses.replace(self, asked=tuple(left))

    def only_cell(self, verb: str) -> Cell:
        """The one cell of a verb that takes one; raises UsageError where there are several."""
        if len(self.asked) != 1:
            raise UsageError(f"{verb} takes one cell, and these words name {len(self.asked)}")
        return self.asked[0].cell

    def for_cell(self, cell: Cell, runs: Runs) -> Request:
        """The same request for this cell alone, without baseline and control."""
        return dataclasses.replace(self, asked=(RequestedCell(cell, None),), controls=(), runs=runs)

    def check(self) -> None:
        """Raises UsageError for numbers that no study can be made of."""
        least = {
            "runs.trace": (self.runs.trace, 1),
            "runs.timing": (self.runs.timing, 0),
            "runs.repeats": (self.runs.repeats, 1),
            "timing.warmup": (self.timing.warmup, 0),
            "launch.ahead": (self.launch.ahead, 1),
            "diagnose.runs": (self.diagnose.runs, 2),
            "diagnose.tries": (self.diagnose.tries, 2),
            "diagnose.most": (self.diagnose.most, 2),
            "replay.step": (self.replay.step, 0),
            "launch.retries": (self.launch.retries, 0),
        }
        for key, (value, minimum) in least.items():
            if value < minimum:
                raise UsageError(f"{key}={value}: at least {minimum} is needed")
        _ = self.diagnose.steps  # raises where the window is none
        if self.runs.timing == 1:
            raise UsageError(
                "runs.timing=1: one block has no interval; at least 2 are needed, "
                "or 0 to measure no cost"
            )
        if not 0 < self.launch.timeout_s < math.inf:
            raise UsageError(
                f"launch.timeout_s={self.launch.timeout_s}: a number of seconds above 0 is needed"
            )
        for asked in self.asked:
            _check_switches(asked.cell.determinism)
            _check_noise(asked.cell)
            _check_finite(asked.cell.scenario.options)


def _check_finite(options: dict[str, Any]) -> None:
    """Raises UsageError for infinities and NaN, which JSON, and so a record, cannot hold."""
    for key, value in options.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"scenario.{key}={value}: a finite number is needed")


def _check_switches(asked: Determinism) -> None:
    """Raises UsageError for values that no interpreter or torch would take."""
    largest = 2**32 - 1  # NumPy's and PYTHONHASHSEED's
    for name in ("seed", "python_hash_seed"):
        value = getattr(asked, name)
        if value is not None and not 0 <= value <= largest:
            raise UsageError(f"determinism.{name}={value}: 0 to {largest} or null are allowed")
    if asked.threads is not None and asked.threads < 1:
        raise UsageError(f"determinism.threads={asked.threads}: at least 1, or null, is needed")
    if asked.matmul_precision not in (None, *PRECISIONS):
        raise UsageError(
            f"determinism.matmul_precision={asked.matmul_precision}: "
            f"allowed are {', '.join(PRECISIONS)} and null"
        )
    if asked.fresh_memory not in (None, *FRESH_MEMORY):
        raise UsageError(
            f"determinism.fresh_memory={asked.fresh_memory}: "
            f"allowed are {', '.join(FRESH_MEMORY)} and null"
        )
    if asked.cpu_capability not in (None, *CAPABILITIES):
        raise UsageError(
            f"determinism.cpu_capability={asked.cpu_capability}: "
            f"allowed are {', '.join(CAPABILITIES)} and null"
        )


def _check_noise(cell: Cell) -> None:
    """Raises UsageError where the setting lets vary what the noise is to hold, or the converse."""
    noise, asked = cell.noise, cell.determinism
    if noise is Noise.none:
        return
    if noise in (Noise.bit_flip, Noise.tiny) and cell.scenario.framework != "torch":
        raise UsageError(f"noise={noise} is built for torch's trainings only")
    if asked.seed is None:
        raise UsageError(
            f"noise={noise} needs a seed to hold or to vary, and determinism="
            f"{cell.setting} has none; leave determinism= out"
        )
    held = asked.algorithms is Algorithms.require
    if held != noise.holds_kernels:
        wanted = "deterministic kernels" if noise.holds_kernels else "torch's own choice of kernels"
        raise UsageError(
            f"noise={noise} is defined under {wanted}, which determinism="
            f"{cell.setting} does not ask for; leave determinism= out"
        )
