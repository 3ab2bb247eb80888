"""What a run leaves behind: one JSON document, written once, never half.

Standard library only: the worker writes it, the parent writes it for a worker that could not, the
report reads it on any laptop.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.core.spec import RunSpec, to_json

SCHEMA = 1
Distances = dict[str, dict[str, Any]]  # by run: the reference's digest, trajectories by repeat


class Outcome(StrEnum):
    """How a run ended; each is a row in the report and none is hidden."""

    ok = "ok"
    refused = "refused"  # an operation has no deterministic version; ``operation`` names it
    nan = "nan"  # ran to its end, with a loss that is no number
    timeout = "timeout"
    crashed = "crashed"  # by an exception, an exit status or a signal of its own
    contended = "contended"  # another process computed on the same GPU
    lost = "lost"  # killed from outside; run again by `resume`

    @property
    def completed(self) -> bool:
        """Whether the training came to its end, so that its digests count as evidence."""
        return self in (Outcome.ok, Outcome.nan, Outcome.contended)


# The components of a step in the order in which a step makes them. The first two explain; the
# others are outcomes, and decide verdicts.
EXPLAINING = ("rng", "batch")
OUTCOMES = ("buffers", "loss", "grads", "params", "optimizer")
COMPONENTS = (*EXPLAINING, *OUTCOMES)


@dataclass(frozen=True)
class Components:
    """One digest per component of one step."""

    rng: str
    batch: str
    buffers: str
    loss: str
    grads: str
    params: str
    optimizer: str


@dataclass(frozen=True)
class Repeat:
    """One training inside a trace run."""

    initial: str  # parameters and buffers before the first step
    steps: list[Components]
    losses: list[float | str]  # by step, or none; "nan", "inf", "-inf" as words, which JSON lacks
    final: dict[str, str]  # outcome digests at the end, predictions included
    predictions: list[float | int | str]
    accuracy: float | None
    facts: dict[str, Any]
    snapshots: dict[str, str] = field(default_factory=dict)  # step to the params digest stored

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Repeat:
        steps = [Components(*row) for row in document["steps"]]
        return cls(**{**document, "steps": steps})


@dataclass(frozen=True)
class Timed:
    """The raw clock of a timing run."""

    counted_s: float  # synchronised end minus synchronised start of the counted steps
    counted_steps: int
    step_s: list[float]  # single steps, warm-up included; descriptive
    final: dict[str, str]
    loss: float | str | None  # of the last step; None where the training does not show it
    accuracy: float | None
    facts: dict[str, Any]


@dataclass(frozen=True)
class RunRecord:
    """One run, whole: what was asked, what was in effect, how it ended, what it gave."""

    run_id: str
    spec: RunSpec
    outcome: Outcome
    position: int = 0  # in the order in which the study's runs were released, from 0
    attempt: int = 1
    message: str = ""  # scrubbed: what went wrong, or empty
    operation: str | None = None  # the operation that refused
    effective: dict[str, Any] = field(default_factory=dict)  # the setting as read back
    threads: int | None = None
    peak_mb: float | None = None  # highest device memory on CUDA, highest resident set elsewhere
    setup_s: float | None = None  # applying the setting and building the training
    wall_s: float | None = None  # from the release to the end
    other_load: float | None = None  # share of all cores that others used meanwhile, 0 to 1
    throttled: list[str] = field(default_factory=list)  # why the GPU's clocks were held back
    repeats: list[Repeat] = field(default_factory=list)
    timed: Timed | None = None
    ends: list[dict[str, str]] = field(default_factory=list)  # of an operations run's trainings
    schema: int = SCHEMA

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RunRecord:
        if document["schema"] != SCHEMA:
            raise BadRecordError(
                f"record of schema {document['schema']}, this program reads {SCHEMA}: "
                "use the version of the harness that wrote the study"
            )
        timed = document["timed"]
        return cls(
            **{
                **document,
                "spec": RunSpec.from_json(document["spec"]),
                "outcome": Outcome(document["outcome"]),
                "repeats": [Repeat.from_json(one) for one in document["repeats"]],
                "timed": Timed(**timed) if timed else None,
            }
        )

    def to_json(self) -> dict[str, Any]:
        shallow = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {
            **shallow,
            "spec": to_json(self.spec),
            "repeats": [_pack_repeat(one) for one in self.repeats],
            "timed": dataclasses.asdict(self.timed) if self.timed else None,
        }


class BadRecordError(Exception):
    """A record that cannot be read: truncated, of another schema, or not one at all."""


def _pack_repeat(repeat: Repeat) -> dict[str, Any]:
    """Steps as rows in the order of COMPONENTS: a tenth of the size of a document per step."""
    shallow = {f.name: getattr(repeat, f.name) for f in dataclasses.fields(repeat)}
    rows = [[getattr(step, name) for name in COMPONENTS] for step in repeat.steps]
    return {**shallow, "steps": rows}


def json_number(value: float) -> float | str:
    """A float as JSON can hold it: repr is exact for finite ones, others become words."""
    return value if math.isfinite(value) else str(value)


def write_json(path: Path, document: Any, indent: int | None = None) -> None:
    """Writes a file that is either whole or not there, also when power or the process goes.

    Raises OSError (a full disk, say) with the file's old content still in place.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(
                document,
                file,
                allow_nan=False,
                indent=indent,
                separators=(",", ":" if indent is None else ": "),
            )
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def save_record(folder: Path, record: RunRecord) -> Path:
    path = folder / f"{record.run_id}.json"
    write_json(path, record.to_json())
    return path


def load_record(path: Path) -> RunRecord:
    """Raises BadRecordError, naming the file, where there is no whole record in it."""
    try:
        return RunRecord.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        raise BadRecordError(f"{path.name} is no whole record ({type(error).__name__})") from error


def read_distances(path: Path) -> Distances:
    """A cell's distances; none where the file is missing or damaged, which is "not measured"."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
