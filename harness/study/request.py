"""The frozen request of one command: which cells to run, how often, how and where."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.core.claims import Claim
from harness.core.errors import UsageError
from harness.core.frameworks import can_fork
from harness.core.spec import Algorithms, Cell, Determinism, Isolation, Kind, Noise

CAPABILITIES = ("default", "avx2", "avx512", "vsx", "zvector", "sve256")  # of ATEN_CPU_CAPABILITY
FRESH_MEMORY = ("zeros", "nan", "pattern")  # what uninitialized memory is filled with
ATTENTION = ("math", "flash", "efficient", "cudnn")  # backends of scaled_dot_product_attention
PRECISIONS = ("highest", "high", "medium")  # of torch.set_float32_matmul_precision

REPEATED = 2  # runs that train `runs.repeats` times, which shows what varies within a process


@dataclass(frozen=True)
class Runs:
    """Runs per cell, and trainings per trace run."""

    trace: int = 5
    timing: int = 8
    repeats: int = 2
    # The first trace runs of a cell: one of which half differ, or none completes, gets no more.
    # Runs after the second train once. None: all runs are alike.
    first: int | None = None

    def trainings(self, number: int) -> int:
        """Trainings of the trace run with this number."""
        return self.repeats if self.first is None or number <= REPEATED else 1


@dataclass(frozen=True)
class Timing:
    warmup: int = 3  # steps that are recorded but not counted
    min_s: float = 0.5  # a run of torch trains again until so many seconds are counted
    # Blocks after which it is decided how many of `runs.timing` a cell needs for intervals of its
    # costs within ±precision. None: all.
    first: int | None = None
    precision: float = 0.05

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Timing:
        """Also of studies begun when every timing run trained once."""
        return cls(**{"min_s": 0.0, **document})


@dataclass(frozen=True)
class Trace:
    keep_snapshots: bool = False


@dataclass(frozen=True)
class Study:
    dir: str | None = None  # default: a new folder under results/
    baseline: str | None = "seed"  # a setting; null: no baseline and no twin
    control: str | None = "indexing"  # a scenario that must vary; null: no control
    seed: int = 0  # of the order of the runs
    repeat_failed: bool = True  # run the study once more if a control fails
    budget_s: float | None = None  # of one command; it starts no run after it. None: no limit


@dataclass(frozen=True)
class Launch:
    timeout_s: float = 600.0  # of one run, from its release
    ahead: int = 4  # workers that import torch while they wait for their turn
    retries: int = 2  # per run that is killed from outside
    isolation: Isolation = Isolation.mixed
    spawned: int = 2  # first trace runs of a cell that `mixed` starts as fresh interpreters

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Launch:
        """Also of studies begun before runs could be forked."""
        return cls(**{**document, "isolation": Isolation(document.get("isolation", "spawn"))})

    def is_forked(self, cell: Cell, kind: Kind, number: int, arms: int = 1) -> bool:
        """Whether a run is forked from a process that has imported its framework."""
        if self.isolation is Isolation.spawn or not can_fork(cell):
            return False
        is_late_trace = kind is Kind.trace and number > self.spawned
        is_block = arms > 1  # whose ratios are taken within the process
        return self.isolation is Isolation.fork or is_late_trace or is_block


@dataclass(frozen=True)
class Diagnose:
    """Options of `python -m harness diagnose`, which takes one cell."""

    runs: int = 10  # untreated, in fresh processes
    tries: int = 20  # runs with logged operations, until two of them diverge
    window: str | None = None  # steps to log, such as 5 or 5-8; None: chosen from the trace runs
    most: int = 30  # a fix that needs more identical treated runs than this stays undecided
    factor: str | None = None  # FACTOR:LEVEL, whose runs are compared with those without it

    @property
    def steps(self) -> tuple[int, int] | None:
        """The window's first and last step; None if unset. Raises UsageError if it is malformed."""
        if self.window is None:
            return None
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", self.window)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise UsageError(
                f"diagnose.window={self.window}: must be a step, such as 5, or a range, such as "
                "5-8; step 0 builds the training"
            )
        return first, last


@dataclass(frozen=True)
class Recipe:
    """Options of `python -m harness recipe`, which takes one cell."""

    runs: int = 6  # by which each set of switches is judged
    confirm: int = 30  # of the set that is found
    blocks: int = 6  # timing blocks for the costs; 0: none


@dataclass(frozen=True)
class Perturb:
    """Options of `python -m harness perturb`, which takes one cell."""

    runs: int = 10  # without perturbation
    pairs: int = 5  # runs of a group of factors beside them
    most: int = 30  # runs of a group that differs only sometimes
    factors: list[str] = field(default_factory=list)  # names of those to vary; empty: all


@dataclass(frozen=True)
class Replay:
    """Options of `python -m harness replay`, which takes one cell."""

    step: int = 0  # the first step of the new process; 0: the middle of the training
    # Parts of the state; "position" is that of the data, "*_rng" are the random generators.
    checkpoint: list[str] = field(default_factory=lambda: ["parameters", "buffers", "optimizer"])
    # Of a script: arguments that make it stop after a part and save, and that make it resume.
    save: list[str] = field(default_factory=list)
    resume: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RequestedCell:
    """A cell and the cell that its cost is compared with."""

    cell: Cell
    baseline: Cell | None
    needs: str = "any"  # the kind of device that it is requested for: any, cpu, cuda
    timed: bool = True  # False: traced only, for a claim that no cost decides
    for_claim: bool = False  # requested by a claim alone: skipped if it cannot run here


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
    settings_for_cuda: tuple[str, ...]  # requested only if the device is CUDA
    words: tuple[str, ...]  # as typed, after `python -m harness`
    claims: tuple[RequestedClaim, ...] = ()
    diagnose: Diagnose = field(default_factory=Diagnose)
    replay: Replay = field(default_factory=Replay)
    recipe: Recipe = field(default_factory=Recipe)
    perturb: Perturb = field(default_factory=Perturb)

    def without_frameworks(self, missing: Collection[str]) -> Request:
        """The request without cells of these frameworks; its claims still name all cells."""
        kept = (entry for entry in self.asked if entry.cell.scenario.framework not in missing)
        return dataclasses.replace(self, asked=tuple(kept))

    def only_cell(self, verb: str) -> Cell:
        """The cell of a verb that takes exactly one. Raises UsageError if there are several."""
        if len(self.asked) != 1:
            raise UsageError(f"{verb} takes one cell, but these overrides name {len(self.asked)}")
        return self.asked[0].cell

    def for_cell(self, cell: Cell, runs: Runs) -> Request:
        """The same request for this cell alone, without baseline and controls."""
        launch = self.launch
        if launch.isolation is Isolation.mixed:  # forks save time only if cells share a server
            launch = dataclasses.replace(launch, isolation=Isolation.spawn)
        return dataclasses.replace(
            self, asked=(RequestedCell(cell, None),), controls=(), runs=runs, launch=launch
        )

    def check(self) -> None:
        """Raises UsageError for values that no study can run with."""
        minimums = {
            "runs.timing": (self.runs.timing, 0),
            "runs.repeats": (self.runs.repeats, 1),
            "timing.warmup": (self.timing.warmup, 0),
            "launch.ahead": (self.launch.ahead, 1),
            "diagnose.runs": (self.diagnose.runs, 2),
            "diagnose.tries": (self.diagnose.tries, 2),
            "diagnose.most": (self.diagnose.most, 2),
            "recipe.runs": (self.recipe.runs, 2),
            "recipe.confirm": (self.recipe.confirm, 2),
            "recipe.blocks": (self.recipe.blocks, 0),
            "perturb.runs": (self.perturb.runs, 2),
            "perturb.pairs": (self.perturb.pairs, 2),
            "perturb.most": (self.perturb.most, 2),
            "replay.step": (self.replay.step, 0),
            "launch.retries": (self.launch.retries, 0),
            "launch.spawned": (self.launch.spawned, 0),
            "runs.first": (self.runs.first, 2),
            "timing.first": (self.timing.first, 3),
        }
        for key, (value, minimum) in minimums.items():
            if value is not None and value < minimum:
                raise UsageError(f"{key}={value}: must be at least {minimum}")
        _ = self.diagnose.steps  # raises if the window is malformed
        for key, blocks in (
            ("runs.timing", self.runs.timing),
            ("recipe.blocks", self.recipe.blocks),
        ):
            if blocks == 1:
                raise UsageError(
                    f"{key}=1: one block has no confidence interval; use at least 2, or 0 to "
                    "measure no cost"
                )
        if not 0 <= self.timing.min_s < math.inf:
            raise UsageError(
                f"timing.min_s={self.timing.min_s}: must be a finite number, 0 or more"
            )
        if not 0 < self.timing.precision < math.inf:
            raise UsageError(
                f"timing.precision={self.timing.precision}: must be a finite number above 0, such "
                "as 0.05 for ±5 %"
            )
        if not 0 < self.launch.timeout_s < math.inf:
            raise UsageError(
                f"launch.timeout_s={self.launch.timeout_s}: must be a finite number above 0"
            )
        if self.study.budget_s is not None and not 0 < self.study.budget_s < math.inf:
            raise UsageError(
                f"study.budget_s={self.study.budget_s}: must be a finite number of seconds above "
                "0, such as 600, or null"
            )
        for requested in self.asked:
            _check_switches(requested.cell.determinism)
            _check_noise(requested.cell)
            _check_finite(requested.cell.scenario.options)


def _check_finite(options: dict[str, Any]) -> None:
    """Raises UsageError for infinities and NaN, which JSON records cannot hold."""
    for key, value in options.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"scenario.{key}={value}: must be a finite number")


def _check_switches(determinism: Determinism) -> None:
    """Raises UsageError for values that Python or torch would reject."""
    largest = 2**32 - 1  # for NumPy and PYTHONHASHSEED
    for name in ("seed", "python_hash_seed"):
        value = getattr(determinism, name)
        if value is not None and not 0 <= value <= largest:
            raise UsageError(f"determinism.{name}={value}: must be 0 to {largest}, or null")
    if determinism.threads is not None and determinism.threads < 1:
        raise UsageError(f"determinism.threads={determinism.threads}: must be at least 1, or null")
    choices = {
        "matmul_precision": PRECISIONS,
        "fresh_memory": FRESH_MEMORY,
        "cpu_capability": CAPABILITIES,
        "attention": ATTENTION,
    }
    for name, allowed in choices.items():
        value = getattr(determinism, name)
        if value not in (None, *allowed):
            raise UsageError(
                f"determinism.{name}={value}: must be one of {', '.join(allowed)}, or null"
            )


def _check_noise(cell: Cell) -> None:
    """Raises UsageError if the setting contradicts what the noise holds fixed or varies."""
    noise, determinism = cell.noise, cell.determinism
    if noise is Noise.none:
        return
    if noise in (Noise.bit_flip, Noise.tiny) and cell.scenario.framework != "torch":
        raise UsageError(f"noise={noise} supports torch scenarios only")
    if determinism.seed is None:
        raise UsageError(
            f"noise={noise} needs a seed, and determinism={cell.setting} sets none; "
            "omit determinism="
        )
    is_deterministic = determinism.algorithms is Algorithms.require
    if is_deterministic != noise.holds_kernels:
        kernels = "deterministic" if noise.holds_kernels else "torch's default"
        raise UsageError(
            f"noise={noise} requires {kernels} kernels, and determinism={cell.setting} does not "
            "select them; omit determinism="
        )
