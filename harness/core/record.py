"""The record of a run: one JSON document, written once and atomically.

Standard library only: the worker writes it, the parent writes it for a worker that could not, and
the report reads it on any machine.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from harness.core.field_types import check_fields
from harness.core.files import write_json
from harness.core.spec import RunSpec
from harness.core.spec_json import to_json
from harness.core.steps import Steps

SCHEMA = 2
LARGEST_FILE = 256 * 2**20  # bytes; that of a long training is a few megabytes
MANIFEST_SCHEMA = 1
DIGESTS = 1  # another number when the same bits get other digests, on any device
READABLE = (1, 2)  # 1: steps as rows
ENDED_ITSELF = "ended its process itself"  # begins the message of a run that left no record
EXCEPTION = r"[\w.]+(Error|Exception|Interrupt|Exit)\b"  # begins a traceback's last line
Distances = dict[str, dict[str, Any]]  # run to the reference's digest and trajectories


class Outcome(StrEnum):
    """How a run ended; the report hides none of them."""

    ok = "ok"
    refused = "refused"  # an operation has no deterministic version; see ``operation``
    nan = "nan"  # completed with a loss that is not a number
    timeout = "timeout"
    crashed = "crashed"  # by an exception, exit status or signal of its own
    contended = "contended"  # another process was computing on the same GPU
    lost = "lost"  # killed from outside; `resume` runs it again
    observer_failed = "observer failed"  # the training ran to its end, but not all of it was seen

    @property
    def failed(self) -> bool:
        """Whether the run has no result, other than a refusal by deterministic algorithms."""
        return not self.completed and self is not Outcome.refused

    @property
    def completed(self) -> bool:
        """Whether the training completed, so that its digests count as evidence."""
        return self in (Outcome.ok, Outcome.nan, Outcome.contended)


@dataclass(frozen=True)
class Repeat:
    """One training inside a trace run."""

    initial: str  # parameters and buffers before the first step
    steps: Steps
    losses: Sequence[float | str]  # by step, or empty; "nan", "inf", "-inf" as strings, for JSON
    final: dict[str, str]  # outcome digests at the end, including predictions
    predictions: Sequence[float | int | str]
    accuracy: float | None
    facts: dict[str, Any]
    snapshots: dict[str, str] = field(default_factory=dict)  # step to digest of parameters

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Repeat:
        return cls(**{**document, "steps": Steps.from_json(document["steps"])})


@dataclass(frozen=True)
class Timed:
    """Raw timings of a timing run."""

    counted_s: float  # synchronized end minus synchronized start
    counted_steps: int
    step_s: Sequence[float]  # of each step of a whole training, with warm-up; descriptive only
    final: dict[str, str]
    loss: float | str | None  # of the last step; None if the training does not expose it
    accuracy: float | None
    facts: dict[str, Any]


@dataclass(frozen=True)
class ArmResult:
    """What a timing run found about one of its arms; the fields are those of RunRecord."""

    outcome: Outcome
    message: str = ""
    operation: str | None = None
    effective: dict[str, Any] = field(default_factory=dict)
    threads: int | None = None
    peak_mb: float | None = None
    setup_s: float | None = None
    timed: Timed | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ArmResult:
        timed = document["timed"]
        return cls(
            **{
                **document,
                "outcome": Outcome(document["outcome"]),
                "timed": Timed(**timed) if timed else None,
            }
        )


@dataclass(frozen=True)
class RunRecord:
    """One run: its request, effective settings, outcome and results."""

    run_id: str
    spec: RunSpec
    outcome: Outcome
    position: int = 0  # in the order in which the study released its runs, from 0
    attempt: int = 1
    message: str = ""  # what went wrong, redacted; empty if nothing did
    operation: str | None = None  # that has no deterministic version
    effective: dict[str, Any] = field(default_factory=dict)  # the setting as read back
    conditions: dict[str, str] = field(default_factory=dict)  # by factor, of a perturbation alone
    node: dict[str, str] = field(default_factory=dict)  # that it ran on, of a study on a cluster
    server: str | None = None  # that the run's process was forked from; None if it was spawned
    threads: int | None = None
    peak_mb: float | None = None  # peak device memory on CUDA, peak resident set size elsewhere
    setup_s: float | None = None  # to apply the setting and build the training
    wall_s: float | None = None  # from release to end
    other_load: float | None = None  # share of all cores that other processes used, 0 to 1
    throttled: list[str] = field(default_factory=list)  # reasons why the GPU reduced its clocks
    repeats: list[Repeat] = field(default_factory=list)
    timed: Timed | None = None
    ends: list[dict[str, str]] = field(default_factory=list)  # per training, operations runs only
    arms: list[ArmResult] = field(default_factory=list)  # in the order of ``spec.arms``
    schema: int = SCHEMA

    @property
    def process(self) -> str:
        """The name of the record, which the arms of a block share."""
        return self.run_id.partition("/")[0]

    @property
    def is_done(self) -> bool:
        """Whether `resume` leaves it as it is: a lost run is run again."""
        return self.outcome is not Outcome.lost

    @property
    def is_timed(self) -> bool:
        return self.timed is not None or any(arm.timed for arm in self.arms)

    @property
    def lacks_arms(self) -> bool:
        """Whether the process ended before its arms were timed, so that each is timed alone."""
        return bool(self.spec.arms) and not self.arms

    def of_arms(self) -> list[RunRecord]:
        """A record for each arm, as if it had been timed alone; this one if it has no arms.

        If the process left no result, that is the result of every arm.
        """
        if not self.spec.arms:
            return [self]
        lost = ArmResult(self.outcome, self.message, self.operation)
        records = []
        results = self.arms or [lost] * len(self.spec.arms)
        for spec, arm in zip(self.spec.of_arms(), results, strict=True):
            shared = self.outcome is Outcome.contended and arm.outcome.completed
            twin = "-twin" if spec.twin else ""
            records.append(
                dataclasses.replace(
                    self,
                    **{**vars(arm), "outcome": self.outcome if shared else arm.outcome},
                    run_id=f"{self.run_id}/{spec.cell.id}{twin}",
                    spec=spec,
                    arms=[],
                )
            )
        return records

    @property
    def reason(self) -> str:
        """Why the run failed, in one line: the operation refused, or the exception's own line."""
        if self.operation:
            return self.operation
        lines = self.message.strip().split("\n")
        if lines[0].startswith(ENDED_ITSELF):  # so that what it printed last says nothing
            return lines[0]
        named = [line for line in lines if re.match(EXCEPTION, line)]
        return (named or lines)[-1]

    def check(self) -> None:
        """Raise TypeError if a value is not what its field holds, or ValueError if it cannot be."""
        for part in (self, self.spec, *self.repeats, *self.arms):
            check_fields(part)
        for timed in (self.timed, *(arm.timed for arm in self.arms)):
            if timed:
                check_fields(timed)
                if timed.counted_s <= 0 or timed.counted_steps <= 0:
                    raise ValueError("it counts no time or no steps")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RunRecord:
        if document["schema"] not in READABLE:
            raise BadRecordError(
                f"the record has schema {document['schema']}, but this harness reads schemas "
                f"{READABLE[0]} to {SCHEMA}: use the version that wrote the study"
            )
        timed = document["timed"]
        return cls(
            **{
                **document,
                "spec": RunSpec.from_json(document["spec"]),
                "outcome": Outcome(document["outcome"]),
                "repeats": [Repeat.from_json(repeat) for repeat in document["repeats"]],
                "timed": Timed(**timed) if timed else None,
                "arms": [ArmResult.from_json(arm) for arm in document.get("arms", ())],
                "schema": SCHEMA,
            }
        )

    def to_json(self) -> dict[str, Any]:
        shallow = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {
            **shallow,
            "spec": to_json(self.spec),
            "repeats": [_pack_repeat(repeat) for repeat in self.repeats],
            "timed": dataclasses.asdict(self.timed) if self.timed else None,
            "arms": [dataclasses.asdict(arm) for arm in self.arms],
        }


class BadRecordError(Exception):
    """A file is not a readable record: truncated, of another schema, or something else."""


def _pack_repeat(repeat: Repeat) -> dict[str, Any]:
    shallow = {f.name: getattr(repeat, f.name) for f in dataclasses.fields(repeat)}
    return {**shallow, "steps": repeat.steps.to_json()}


def json_number(value: float) -> float | str:
    """Return a float as JSON can hold it: exact (by repr) if finite, otherwise a string."""
    return value if math.isfinite(value) else str(value)


def save_record(folder: Path, record: RunRecord) -> Path:
    path = folder / f"{record.run_id}.json"
    write_json(path, record.to_json())
    return path


def load_record(path: Path, parse: Callable[[bytes], Any] = json.loads) -> RunRecord:
    """Read a record; raises BadRecordError, naming the file, if it has no complete record.

    ``parse`` is for callers that read many and have a faster parser than Python's own.
    """
    if path.is_symlink() or not path.is_file():
        raise BadRecordError(f"{path.name} is not a plain file")
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise BadRecordError(
            f"{path.name} has {size:,} bytes; a record has at most {LARGEST_FILE:,}"
        )
    try:
        record = RunRecord.from_json(parse(path.read_bytes()))
        record.check()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadRecordError(
            f"{path.name} is not a complete record ({type(error).__name__}: {error})"
        ) from error
    return record


def read_distances(path: Path) -> Distances:
    """Read a cell's distances; empty, for "not measured", if the file is missing or damaged."""
    try:
        distances = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return distances if _are_distances(distances) else {}


def _are_distances(document: Any) -> bool:
    """Whether it is as `Distances` says; a file from elsewhere may hold anything."""
    try:
        return all(
            isinstance(entry["reference"], str)
            and int(step) >= 0
            and isinstance(value, (int, float, str))
            for entry in document.values()
            for trajectory in entry["repeats"]
            for step, distance in trajectory.items()
            for value in distance.values()
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
