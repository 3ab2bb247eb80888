"""The cells and audits of published studies, as their tables have them."""

from __future__ import annotations

import csv
import hashlib
import math
import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from harness.core.place import describe_device
from harness.core.published import PublishedStudy
from harness.core.spec import Kind
from harness.core.verdict import Verdict

Row = Mapping[str, str]  # of a CSV file, by column
PLAIN = re.compile("[a-z0-9_.]+")  # loses nothing in an address
LONGEST = 120  # characters, since a file's name may have 255


@dataclass(frozen=True)
class PublishedCell:
    """A row of a study's cells.csv."""

    study: PublishedStudy
    id: str
    scenario: str
    training: str  # the scenario with its overrides
    setting: str  # with all other overrides and the source of noise
    device: str
    is_alias: bool  # whether it shares the runs of another cell
    kind: str  # what two cells must have in common to agree: `equal`, `varies`, `refused`, …
    verdict: str  # in words
    differ: int | None  # processes whose result is not the most frequent one
    processes: int | None  # that were compared
    independent: int
    bound: float | None  # on the chance that a fresh process differs, if none did
    ratio: float | None  # of the time per step to that of the baseline
    low: float | None
    high: float | None
    cost: str  # its label
    ends: frozenset[str]  # digests of the final parameters of its completed trace runs

    @property
    def counts(self) -> str:
        return f"{self.differ} of {self.processes}" if self.processes else ""


@dataclass(frozen=True)
class AuditRow:
    """A row of a study's audit.csv, with its cells."""

    study: PublishedStudy
    operation: str
    dtype: str
    device: str  # as the study names it
    documented: str
    alert: str
    threads: str
    bits: str
    bits_full: str
    seeds: PublishedCell
    deterministic: PublishedCell


T = TypeVar("T", PublishedCell, AuditRow)


@dataclass(frozen=True)
class StudyTables:
    study: PublishedStudy
    cells: list[PublishedCell]  # but for A/A twins
    audit: list[AuditRow]


def read_tables(study: PublishedStudy) -> StudyTables:
    """Raises OSError, ValueError or LookupError if a table is not as this version writes it."""
    ends: defaultdict[str, set[str]] = defaultdict(set)
    for run in _rows(study.folder, "runs"):
        if run["kind"] == Kind.trace and run["params"]:
            ends[run["cell"]].add(run["params"])
    cells = {
        row["cell"]: _read_cell(study, row, frozenset(ends[row["same_as"] or row["cell"]]))
        for row in _rows(study.folder, "cells")
        if row["twin"] == "False"
    }
    audit = [_read_audit(study, row, cells) for row in _rows(study.folder, "audit")]
    return StudyTables(study, list(cells.values()), audit)


def device_of(study: PublishedStudy, device: str) -> str:
    """The name of the GPU, or `cpu`; which processor that was, the evidence says."""
    return "cpu" if device.startswith("cpu") else describe_device(study.manifest)


def newest_first(items: Iterable[T]) -> list[T]:
    """Sort evidence by its study: superseded ones and those with a failed control come last."""
    by_age = sorted(items, key=lambda item: str(item.study.manifest["created"]), reverse=True)
    return sorted(
        by_age, key=lambda item: bool(item.study.superseded_by) or item.study.has_failed_control
    )


def source_document(study: PublishedStudy) -> dict[str, Any]:
    """What every piece of evidence says of its study, as JSON."""
    return {
        "study": study.name,
        "run_by": study.run_by or "own",
        "has_failed_control": study.has_failed_control,
        "created": study.manifest["created"],
        "machine": describe_device(study.manifest),
    }


def device_slug(device: str) -> str:
    return device.lower().replace(" ", "_")


def slug(*parts: str) -> str:
    """A part of an address: the same for the same parts on every machine, and for no others."""
    text = "-".join(re.sub(r"[^a-z0-9_.]+", "-", part.lower()).strip("-.") for part in parts)
    if len(text) <= LONGEST and all(PLAIN.fullmatch(part) for part in parts):
        return text
    exact = hashlib.sha256("\0".join(parts).encode(errors="replace")).hexdigest()
    return f"{text[:LONGEST]}-{exact[:8]}"


def _read_cell(study: PublishedStudy, row: Row, ends: frozenset[str]) -> PublishedCell:
    words = shlex.split(row["overrides"])
    options = [word.removeprefix("scenario.") for word in words if word.startswith("scenario.")]
    if row["scenario"] == "script":  # scripts of one name are another training each
        source = study.manifest["source"]
        options.append(f"files {source['digest'][:8] if source else study.name}")
    others = [word.removeprefix("determinism.") for word in words if word[:9] != "scenario."]
    others += [f"noise={row['noise']}"] * bool(row["noise"])
    return PublishedCell(
        study=study,
        id=row["cell"],
        scenario=row["scenario"],
        training=_with_details(row["scenario"], options),
        setting=_with_details(row["determinism"], others),
        device=device_of(study, row["device"]),
        is_alias=bool(row["same_as"]),
        kind=_kind(Verdict(row["verdict"])),
        verdict=row["verdict_wording"],
        differ=int(row["differ"]) if row["differ"] else None,
        processes=int(row["differ_of"]) if row["differ_of"] else None,
        independent=int(row["independent_runs"]),
        bound=_number(row["divergence_rate_upper"]),
        ratio=_number(row["cost_ratio"]),
        low=_number(row["cost_low"]),
        high=_number(row["cost_high"]),
        cost=row["cost"],
        ends=ends,
    )


def _read_audit(study: PublishedStudy, row: Row, cells: Mapping[str, PublishedCell]) -> AuditRow:
    return AuditRow(
        study=study,
        **{
            name: row[name]
            for name in ("operation", "dtype", "device", "documented", "alert", "threads")
        },
        bits=row["bits"],
        bits_full=row["bits_full"],
        seeds=cells[row["cell"]],
        deterministic=cells[row["cell_full"]],
    )


def _kind(verdict: Verdict) -> str:
    if verdict is Verdict.identical:
        return "equal"
    return "varies" if verdict.differs else str(verdict)


def _with_details(name: str, details: list[str]) -> str:
    return f"{name} ({', '.join(details)})" if details else name


def _number(text: str) -> float | None:
    number = float(text) if text else None
    if number is not None and not math.isfinite(number):
        raise ValueError(f"{text} in a table")
    return number


def _rows(folder: Path, table: str) -> Iterator[Row]:
    """Yield the rows of a table of the study; none if it has no such table."""
    path = folder / "tables" / f"{table}.csv"
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            yield from csv.DictReader(file)
