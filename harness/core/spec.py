"""Requested cells and runs: frozen descriptions that cross process boundaries as JSON.

Standard library only: the parent reads them without torch, the worker without Hydra.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePath
from typing import Any

from harness.core.spec_json import LATER, short_hash


class Algorithms(StrEnum):
    """Modes of ``torch.use_deterministic_algorithms``."""

    allow = "allow"  # torch's default: nondeterministic kernels may run
    warn = "warn"  # warn_only=True: deterministic where torch can, a warning where it cannot
    require = "require"  # deterministic, or an error where torch cannot


class Kind(StrEnum):
    """Kinds of run. Trace runs are never timed; timing runs digest nothing in the timed region."""

    trace = "trace"
    timing = "timing"
    operations = "operations"  # logs every operation of a window of steps
    replay = "replay"  # saves a training before one of its steps, or resumes there


class Isolation(StrEnum):
    """How runs get their processes; forks, from an interpreter that has imported the framework."""

    spawn = "spawn"  # a fresh interpreter for every run
    mixed = "mixed"  # fresh ones for the first trace runs, forks for the others, blocks for timing
    fork = "fork"  # forks wherever a framework allows it, and blocks for timing


class Noise(StrEnum):
    """What is deliberately allowed to vary between the runs of a cell.

    Implementation and algorithm are the two sources distinguished by Zhuang et al. ("Randomness in
    neural network training", MLSys 2022); the last two measure how chaotic a training is.
    """

    none = "none"  # unspecified: the setting alone decides
    implementation = "implementation"  # the machine: fixed seeds, nondeterministic kernels allowed
    algorithm = "algorithm"  # the seed: a new one in each run, deterministic kernels
    both = "both"
    bit_flip = "bit_flip"  # one flipped bit of one initial weight, all else fixed
    tiny = "tiny"  # normal noise of 1e-8 on half of the initial weights, all else fixed

    @property
    def varies_seed(self) -> bool:
        return self in (Noise.algorithm, Noise.both)

    @property
    def holds_kernels(self) -> bool:
        return self in (Noise.algorithm, Noise.bit_flip, Noise.tiny)


@dataclass(frozen=True)
class Cudnn:
    """Switches of ``torch.backends.cudnn``; None keeps torch's default."""

    enabled: bool | None = None
    deterministic: bool | None = None
    benchmark: bool | None = None


@dataclass(frozen=True)
class Loader:
    """Whether each DataLoader gets its own seeded generator, and a worker_init_fn."""

    generator: bool = False
    worker_init: bool = False


@dataclass(frozen=True)
class Seeds:
    """Which generators ``seed`` seeds."""

    python: bool = True
    numpy: bool = True
    torch: bool = True


SEEDING = ("seed", "python_hash_seed", "loader.", "seeds.")  # switches that only give seeds


@dataclass(frozen=True)
class Determinism:
    """One determinism setting; None keeps the default of torch or Python."""

    seed: int | None = None
    python_hash_seed: int | None = None
    cublas_workspace: str | None = None
    loader: Loader = field(default_factory=Loader)
    cudnn: Cudnn = field(default_factory=Cudnn)
    algorithms: Algorithms = Algorithms.allow
    fill_uninitialized_memory: bool | None = None
    threads: int | None = None
    tf32: bool | None = None
    matmul_precision: str | None = None
    cpu_capability: str | None = field(default=None, metadata=LATER)  # instruction set for torch
    fresh_memory: str | None = field(default=None, metadata=LATER)  # fill value of empty tensors
    vector_math_warm_up: bool = field(default=False, metadata=LATER)  # before the training is built
    seeds: Seeds = field(default=Seeds(), metadata=LATER)
    attention: str | None = field(default=None, metadata=LATER)  # the only backend allowed
    # Names of aten operations, joined by "+", during which alone `algorithms` is `require`.
    deterministic_operations: str | None = field(default=None, metadata=LATER)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Determinism:
        return cls(
            **{
                **document,
                "loader": Loader(**document["loader"]),
                "cudnn": Cudnn(**document["cudnn"]),
                "algorithms": Algorithms(document["algorithms"]),
                "seeds": Seeds(**document.get("seeds", {})),
            }
        )

    def switches(self) -> dict[str, Any]:
        """Return all switches by dotted name (``cudnn.benchmark``), as in Hydra and in records."""
        switches: dict[str, Any] = {}
        for name, value in dataclasses.asdict(self).items():
            switches |= (
                {f"{name}.{key}": inner for key, inner in value.items()}
                if isinstance(value, dict)
                else {name: value}
            )
        return switches

    def turned(self) -> dict[str, Any]:
        """Return the switches that differ from their defaults."""
        defaults = Determinism().switches()
        return {name: value for name, value in self.switches().items() if value != defaults[name]}

    def with_switches(self, values: Mapping[str, Any]) -> Determinism:
        """Return the setting with other values, by dotted name."""
        document = dataclasses.asdict(self)
        for name, value in values.items():
            group, _, key = name.rpartition(".")
            (document[group] if group else document)[key] = value
        return Determinism.from_json(document)

    @property
    def only_seeds(self) -> bool:
        """Whether it gives random numbers their seeds and asks for nothing else."""
        return self.seed is not None and all(name.startswith(SEEDING) for name in self.turned())

    def variables(self) -> dict[str, int | str | None]:
        """Return the variables that must be set before the interpreter starts; None: not set."""
        return {
            "PYTHONHASHSEED": self.python_hash_seed,
            "CUBLAS_WORKSPACE_CONFIG": self.cublas_workspace,
            "OMP_NUM_THREADS": self.threads,
            "MKL_NUM_THREADS": self.threads,
            "ATEN_CPU_CAPABILITY": self.cpu_capability,
        }

    def environment(self) -> dict[str, str]:
        """Return the variables that are set."""
        return {name: str(value) for name, value in self.variables().items() if value is not None}


@dataclass(frozen=True)
class Scenario:
    """A training job: ``label`` is its file in conf/scenario, ``name`` its file in scenarios/."""

    label: str
    name: str
    options: dict[str, Any]
    uses_loader: bool = True
    source: str | None = None  # the user's own file, relative to the working directory
    framework: str = field(default="torch", metadata=LATER)  # one of harness/core/frameworks.py
    starts_processes: bool = field(default=False, metadata=LATER)  # that train, as ranks do

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Scenario:
        return cls(**document)

    @property
    def title(self) -> str:
        """The name in tables and figures: the label, or a script's file or module."""
        if self.framework != "script":
            return self.label
        path = self.options["path"]
        return PurePath(str(path)).name if path else str(self.options["module"])


@dataclass(frozen=True)
class Cell:
    """One scenario under one setting on one device, with all other overrides fixed.

    ``perturbed`` names what `perturb` varies (harness/factors); None: another command's cell.
    """

    scenario: Scenario
    setting: str  # the setting's file in conf/determinism
    determinism: Determinism
    device: str
    overrides: tuple[str, ...] = ()
    noise: Noise = field(default=Noise.none, metadata=LATER)
    perturbed: tuple[str, ...] | None = field(default=None, metadata=LATER)  # each FACTOR:LEVEL

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Cell:
        return cls(
            scenario=Scenario.from_json(document["scenario"]),
            setting=document["setting"],
            determinism=Determinism.from_json(document["determinism"]),
            device=document["device"],
            overrides=tuple(document["overrides"]),
            noise=Noise(document.get("noise", Noise.none)),
            perturbed=tuple(document["perturbed"]) if "perturbed" in document else None,
        )

    @property
    def id(self) -> str:
        """A readable name, with a short hash of the cell if anything is overridden or perturbed."""
        setting = self.setting if self.noise is Noise.none else f"{self.setting}-{self.noise}"
        name = f"{self.scenario.label}-{setting}-{self.device.replace(':', '')}"
        return f"{name}-{short_hash(self)}" if self.overrides or self.perturbed else name


@dataclass(frozen=True)
class Arm:
    """One of the cells that a process times in turn; a twin is the second copy of a baseline."""

    cell: Cell
    twin: bool = False

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Arm:
        return cls(Cell.from_json(document["cell"]), document["twin"])


@dataclass(frozen=True)
class RunSpec:
    """One replicate of a cell, run in one process: everything that a worker receives."""

    cell: Cell
    kind: Kind
    number: int  # the replicate of a trace run, the block of a timing run; from 1
    twin: bool = False
    repeats: int = 1
    warmup: int = 0  # timed steps that are recorded but not counted
    environment: dict[str, str] = field(default_factory=dict)
    # First and last step whose operations are logged; step 0 builds the training.
    window: tuple[int, int] | None = field(default=None, metadata=LATER)
    keep: int | None = field(default=None, metadata=LATER)  # operation to keep, by index in the log
    to_end: bool = field(default=False, metadata=LATER)  # continue, unlogged, after the window
    begin: int | None = field(default=None, metadata=LATER)  # the first step of a replay
    # Parts of the saved state that a replay loads; None: train up to `begin` and save all parts.
    parts: tuple[str, ...] | None = field(default=None, metadata=LATER)
    # Seconds to count in a timing run, which trains again and again until it has them.
    min_s: float = field(default=0.0, metadata=LATER)
    forked: bool = field(default=False, metadata=LATER)  # else the process is a fresh interpreter
    # What a timing run times in turn, in the order of its first round; empty: the cell alone.
    arms: tuple[Arm, ...] = field(default=(), metadata=LATER)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RunSpec:
        return cls(
            **{
                **document,
                "cell": Cell.from_json(document["cell"]),
                "kind": Kind(document["kind"]),
                "window": tuple(document["window"]) if document.get("window") else None,
                "parts": tuple(document["parts"]) if "parts" in document else None,
                "arms": tuple(map(Arm.from_json, document.get("arms", ()))),
            }
        )

    @property
    def determinism(self) -> Determinism:
        """The cell's setting, with this run's own seed if the noise varies it."""
        setting = self.cell.determinism
        if not self.cell.noise.varies_seed or setting.seed is None:
            return setting
        return dataclasses.replace(setting, seed=setting.seed + self.number - 1)

    def of_arms(self) -> list[RunSpec]:
        """The run of each arm, as if it had a process of its own."""
        return [
            dataclasses.replace(self, cell=arm.cell, twin=arm.twin, arms=()) for arm in self.arms
        ]

    @property
    def run_id(self) -> str:
        """The name of the record: equal if and only if everything requested is equal."""
        twin = "-twin" if self.twin else ""
        return f"{self.cell.id}{twin}.{self.kind}.{self.number:03d}.{short_hash(self)}"
