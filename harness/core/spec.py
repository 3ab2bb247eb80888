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

# Marks a field that studies made before it do not know: left out of JSON where it has its default,
# so that equal questions keep their ids.
LATER = {"later": True}


class Algorithms(StrEnum):
    """What ``torch.use_deterministic_algorithms`` is asked to do."""

    allow = "allow"  # torch's default: nondeterministic kernels may run
    warn = "warn"  # warn_only=True: deterministic where torch can, a warning where it cannot
    require = "require"  # deterministic, and an error where torch cannot


class Kind(StrEnum):
    """A trace run is never timed; a timing run records no digest inside the timed region."""

    trace = "trace"
    timing = "timing"
    operations = "operations"  # logs every operation of a window of steps
    replay = "replay"  # saves a training before one of its steps, or goes on from there


class Noise(StrEnum):
    """What may vary from run to run of a cell, on purpose.

    Implementation and algorithm are the two sources that Zhuang et al. tell apart ("Randomness in
    neural network training", MLSys 2022); the last two are yardsticks of how chaotic a training is.
    """

    none = "none"  # nothing is said: the setting alone decides
    implementation = "implementation"  # the machine: seeds are fixed, kernels are free
    algorithm = "algorithm"  # the seed: another one in each run, kernels are held
    both = "both"
    bit_flip = "bit_flip"  # one bit of one initial weight, all else held
    tiny = "tiny"  # 1e-8 of normal noise on half of the initial weights, all else held

    @property
    def varies_seed(self) -> bool:
        return self in (Noise.algorithm, Noise.both)

    @property
    def holds_kernels(self) -> bool:
        return self in (Noise.algorithm, Noise.bit_flip, Noise.tiny)


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
    cpu_capability: str | None = field(default=None, metadata=LATER)  # torch's instruction set
    fresh_memory: str | None = field(default=None, metadata=LATER)  # what it is filled with

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

    def variables(self) -> dict[str, int | str | None]:
        """The variables that only count when set before the interpreter starts; None: not set."""
        return {
            "PYTHONHASHSEED": self.python_hash_seed,
            "CUBLAS_WORKSPACE_CONFIG": self.cublas_workspace,
            "OMP_NUM_THREADS": self.threads,
            "MKL_NUM_THREADS": self.threads,
            "ATEN_CPU_CAPABILITY": self.cpu_capability,
        }

    def environment(self) -> dict[str, str]:
        """Those variables that are set."""
        return {name: str(value) for name, value in self.variables().items() if value is not None}


@dataclass(frozen=True)
class Scenario:
    """A training job: ``label`` is its file in conf/scenario, ``name`` its file in scenarios/."""

    label: str
    name: str
    options: dict[str, Any]
    uses_loader: bool = True
    source: str | None = None  # a file of the user's own, relative to where the command was typed
    framework: str = field(default="torch", metadata=LATER)  # one of harness/core/frameworks.py

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
    noise: Noise = field(default=Noise.none, metadata=LATER)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Cell:
        return cls(
            scenario=Scenario.from_json(document["scenario"]),
            setting=document["setting"],
            determinism=Determinism.from_json(document["determinism"]),
            device=document["device"],
            overrides=tuple(document["overrides"]),
            noise=Noise(document.get("noise", Noise.none)),
        )

    @property
    def id(self) -> str:
        """A readable name; anything overridden adds a short hash of all that is asked."""
        setting = self.setting if self.noise is Noise.none else f"{self.setting}-{self.noise}"
        plain = f"{self.scenario.label}-{setting}-{self.device.replace(':', '')}"
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
    # First and last step whose operations are logged; step 0 is the building of the training.
    window: tuple[int, int] | None = field(default=None, metadata=LATER)
    keep: int | None = field(default=None, metadata=LATER)  # place of an operation in that log
    to_end: bool = field(default=False, metadata=LATER)  # go on, unwatched, after the window
    begin: int | None = field(default=None, metadata=LATER)  # the step that a replay goes on with
    # Of the saved state what a replay loads; None: it trains up to there and saves all of it.
    parts: tuple[str, ...] | None = field(default=None, metadata=LATER)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RunSpec:
        return cls(
            **{
                **document,
                "cell": Cell.from_json(document["cell"]),
                "kind": Kind(document["kind"]),
                "window": tuple(document["window"]) if document.get("window") else None,
                "parts": tuple(document["parts"]) if "parts" in document else None,
            }
        )

    @property
    def determinism(self) -> Determinism:
        """The cell's setting with this run's own seed, where the seed is what varies."""
        asked = self.cell.determinism
        if not self.cell.noise.varies_seed or asked.seed is None:
            return asked
        return dataclasses.replace(asked, seed=asked.seed + self.number - 1)

    @property
    def run_id(self) -> str:
        """Names the record: equal exactly where everything asked is equal."""
        twin = "-twin" if self.twin else ""
        return f"{self.cell.id}{twin}.{self.kind}.{self.number:03d}.{short_hash(self)}"


def to_json(spec: Any) -> dict[str, Any]:
    """The JSON document of any spec in this file."""
    document: dict[str, Any] = _to_plain(spec)
    return document


def _to_plain(value: Any) -> Any:
    """Dataclasses as dictionaries, without fields that came later and have their default."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        known = {one.name: (one, getattr(value, one.name)) for one in dataclasses.fields(value)}
        return {
            name: _to_plain(inner)
            for name, (one, inner) in known.items()
            if not (one.metadata.get("later") and inner == one.default)
        }
    if isinstance(value, dict):
        return {key: _to_plain(inner) for key, inner in value.items()}
    return [_to_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def short_hash(spec: Any) -> str:
    """Eight hexadecimal digits of the SHA-256 of a spec's canonical JSON."""
    canonical = json.dumps(to_json(spec), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]
