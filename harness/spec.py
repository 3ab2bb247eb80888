"""What is asked: frozen descriptions that cross the process wall as JSON.

Standard library only, so that the parent (no torch), the worker (no hydra) and the report
(neither) all read the same words.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Algorithms(StrEnum):
    """What ``torch.use_deterministic_algorithms`` is asked to do."""

    allow = "allow"  # torch's default: nondeterministic kernels may run
    warn = "warn"  # warn_only=True: deterministic where torch can, a warning where it cannot
    require = "require"  # deterministic, and an error where torch cannot


class Kind(StrEnum):
    """A trace run is never timed; a timing run records no digest inside the timed region."""

    trace = "trace"
    timing = "timing"


@dataclass(frozen=True)
class Cudnn:
    """Switches of ``torch.backends.cudnn``; None leaves torch's default."""

    enabled: bool | None = None
    deterministic: bool | None = None
    benchmark: bool | None = None


@dataclass(frozen=True)
class Loader:
    """How a DataLoader is seeded: an own seeded generator, and a worker_init_fn."""

    generator: bool = False
    worker_init: bool = False


@dataclass(frozen=True)
class Determinism:
    """One determinism setting. None means: left alone, so torch's (or Python's) default holds."""

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

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Determinism:
        return cls(
            **{
                **document,
                "loader": Loader(**document["loader"]),
                "cudnn": Cudnn(**document["cudnn"]),
                "algorithms": Algorithms(document["algorithms"]),
            }
        )

    def switches(self) -> dict[str, Any]:
        """Every switch by its dotted name (``cudnn.benchmark``), as Hydra and records name it."""
        found: dict[str, Any] = {}
        for name, value in dataclasses.asdict(self).items():
            found |= (
                {f"{name}.{inner}": one for inner, one in value.items()}
                if isinstance(value, dict)
                else {name: value}
            )
        return found

    def environment(self) -> dict[str, str]:
        """The variables that only count when set before the interpreter starts."""
        variables = {
            "PYTHONHASHSEED": self.python_hash_seed,
            "CUBLAS_WORKSPACE_CONFIG": self.cublas_workspace,
            "OMP_NUM_THREADS": self.threads,
            "MKL_NUM_THREADS": self.threads,
        }
        return {name: str(value) for name, value in variables.items() if value is not None}


@dataclass(frozen=True)
class Scenario:
    """A training job: ``label`` is its file in conf/scenario, ``name`` its file in scenarios/."""

    label: str
    name: str
    options: dict[str, Any]
    uses_loader: bool = True
    source: str | None = None  # a file of the user's own, relative to where the command was typed
    framework: str = "torch"  # one of harness/frameworks.py

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Scenario:
        return cls(**document)


@dataclass(frozen=True)
class Cell:
    """One scenario under one setting on one device, with all other overrides fixed."""

    scenario: Scenario
    setting: str  # the setting's file in conf/determinism
    determinism: Determinism
    device: str
    overrides: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Cell:
        return cls(
            scenario=Scenario.from_json(document["scenario"]),
            setting=document["setting"],
            determinism=Determinism.from_json(document["determinism"]),
            device=document["device"],
            overrides=tuple(document["overrides"]),
        )

    @property
    def id(self) -> str:
        """A readable name; anything overridden adds a short hash of all that is asked."""
        plain = f"{self.scenario.label}-{self.setting}-{self.device.replace(':', '')}"
        return f"{plain}-{short_hash(self)}" if self.overrides else plain


@dataclass(frozen=True)
class RunSpec:
    """One replicate of a cell, to be done in one fresh process: all that a worker is told."""

    cell: Cell
    kind: Kind
    number: int  # the replicate of a trace run, the block of a timing run; counted from 1
    twin: bool = False
    repeats: int = 1
    warmup: int = 0  # timed steps that are kept but not counted
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RunSpec:
        return cls(
            **{
                **document,
                "cell": Cell.from_json(document["cell"]),
                "kind": Kind(document["kind"]),
            }
        )

    @property
    def run_id(self) -> str:
        """Names the record: equal exactly where everything asked is equal."""
        twin = "-twin" if self.twin else ""
        return f"{self.cell.id}{twin}.{self.kind}.{self.number:03d}.{short_hash(self)}"


def to_json(spec: Any) -> dict[str, Any]:
    """The JSON document of any spec in this file."""
    document: dict[str, Any] = dataclasses.asdict(spec, dict_factory=document_of)
    return document


# Fields that are younger than the first published study. At their default they are not written, so
# that the ids of all older cells and runs, which are hashes of what is written, stay.
YOUNGER = {"framework": "torch"}


def document_of(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value for key, value in fields if key not in YOUNGER or value != YOUNGER[key]}


def short_hash(spec: Any) -> str:
    """Eight hexadecimal digits of the SHA-256 of a spec's canonical JSON."""
    canonical = json.dumps(to_json(spec), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]
