"""The frozen request of one command: which cells to run, how often, how and where."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.core.claims import Claim
from harness.core.errors import UsageError
from harness.core.frameworks import can_fork
from harness.core.spec import Cell, Isolation, Kind
from harness.study.engines.options import RayOptions, SlurmOptions

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
    engine: str = "local"  # or slurm, ray: where runs are started
    timeout_s: float = 600.0  # of one run, from its release
    ahead: int = 4  # workers that import torch while they wait for their turn
    retries: int = 2  # per run that is killed from outside
    isolation: Isolation = Isolation.mixed
    spawned: int = 2  # first trace runs of a cell that `mixed` starts as fresh interpreters
    # On a cluster: between two looks at its jobs, and that one may wait for a node. None: no limit.
    poll_s: float = 5.0
    queue_s: float | None = None
    targets: list[str] = field(default_factory=list)  # kinds of node; a study for each
    slurm: SlurmOptions = field(default_factory=SlurmOptions)
    ray: RayOptions = field(default_factory=RayOptions)

    @property
    def on_cluster(self) -> bool:
        return self.engine != "local"

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Launch:
        """Also of studies begun before runs could be forked."""
        return cls(
            **{
                **document,
                "isolation": Isolation(document.get("isolation", "spawn")),
                "slurm": SlurmOptions(**document.get("slurm", {})),
                "ray": RayOptions(**document.get("ray", {})),
            }
        )

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
