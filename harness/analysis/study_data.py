"""A study loaded from disk: manifest, records by cell, distances between diverged runs."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

import orjson

from harness.analysis.shared_parts import SharedParts
from harness.core.blocks import split_blocks
from harness.core.completion import read_blocks, unfinished_runs, was_cut
from harness.core.frameworks import can_fork, independent_runs
from harness.core.paths import DEPENDENCE, RECIPE
from harness.core.record import (
    MANIFEST_SCHEMA,
    BadRecordError,
    Distances,
    Outcome,
    Repeat,
    RunRecord,
    load_record,
    read_distances,
)
from harness.core.run_archive import ARCHIVE, unpack
from harness.core.spec import Cell, Isolation, Kind
from harness.core.verdict import Judgement, judge, snapshots_match

T = TypeVar("T")
Trajectory = dict[str, dict[str, float | str]]  # distances by step


@dataclass(frozen=True)
class CellData:
    """All runs of one cell; ``twins`` are the timing runs of its A/A copy."""

    id: str
    cell: Cell
    role: str
    baseline: str | None
    same_as: str | None
    traces: list[RunRecord] = field(default_factory=list)
    timings: list[RunRecord] = field(default_factory=list)
    twins: list[RunRecord] = field(default_factory=list)
    distances: Distances = field(default_factory=dict)
    is_forked: bool = False  # by a study whose runs could all be forked
    first_blocks: int | None = None  # that decided how many blocks there are; None: all have alike

    @property
    def measured_id(self) -> str:
        """The cell whose runs these are; another cell if this cell is an alias of it."""
        return self.same_as or self.id

    @cached_property
    def completed(self) -> list[RunRecord]:
        return [run for run in self.traces if run.outcome.completed and run.repeats]

    @cached_property
    def judgement(self) -> Judgement:
        """The verdict on all runs: timing runs must end as the trace runs do."""
        return judge(self.traces, [*self.timings, *self.twins])

    @cached_property
    def trace_judgement(self) -> Judgement:
        """The verdict on the trace runs alone."""
        return judge(self.traces)

    @property
    def independent_runs(self) -> int:
        """How many of the completed trace runs share nothing of a process with another one."""
        return independent_runs(self.completed, self.is_forked)

    def trainings(self) -> Iterator[tuple[RunRecord, Repeat]]:
        """Yield every training of every completed trace run, in order."""
        for run in self.completed:
            for repeat in run.repeats:
                yield run, repeat

    def trajectories(self, run: RunRecord) -> list[Trajectory] | None:
        """Return the distances of a run's trainings from the first run; None if not measured."""
        measured = self.distances.get(run.run_id)
        if not measured or measured["reference"] != self.completed[0].repeats[0].final["params"]:
            return None
        trajectories: list[Trajectory] = measured["repeats"]
        return trajectories

    @cached_property
    def unmeasured(self) -> list[RunRecord]:
        """Runs whose snapshots differ from the first run's, without a measured distance."""
        runs = self.completed
        return [
            run
            for run in runs
            if not snapshots_match(runs[0], run) and self.trajectories(run) is None
        ]

    @property
    def all_runs(self) -> list[RunRecord]:
        return [*self.traces, *self.timings, *self.twins]


@dataclass(frozen=True)
class StudyData:
    name: str
    manifest: dict[str, Any]
    cells: list[CellData]
    unreadable: list[str]
    planned: int
    unfinished: int = 0  # planned runs that `resume` would run
    is_cut: bool = False  # by its time budget
    died: int = 0  # blocks whose process ended before its arms were timed
    diagnosis: dict[str, Any] | None = None  # if `diagnose` made the study
    recipe: dict[str, Any] | None = None  # if `recipe` made it
    dependence: dict[str, Any] | None = None  # if `perturb` made it

    @property
    def lacks_runs(self) -> bool:
        """Whether runs are unfinished that no time budget has spared."""
        return self.unfinished > 0 and not self.is_cut

    @cached_property
    def runs(self) -> list[RunRecord]:
        unique = {run.run_id: run for cell in self.cells for run in cell.all_runs}
        return sorted(unique.values(), key=lambda run: run.position)

    @property
    def costs(self) -> int:
        """How many cells have a cost of their own, relative to any baseline."""
        distinct = [cell for cell in self.cells if cell.same_as is None]
        return sum(cell.baseline not in (None, cell.id) for cell in distinct)

    @cached_property
    def _by_id(self) -> dict[str, CellData]:
        return {cell.id: cell for cell in self.cells}

    def by_id(self, id_: str) -> CellData:
        return self._by_id[id_]


def read_study(folder: Path) -> StudyData:
    """Raises OSError or ValueError if the folder does not contain a study."""
    manifest = _read_manifest(folder / "manifest.json")
    schedule = _read_schedule(folder / "schedule.json")
    records, unreadable = [], []
    with unpacked_runs(folder) as runs:
        shared = SharedParts()
        for path in sorted(runs.glob("*.t*.*.json"), key=attrgetter("name")):
            try:
                record = load_record(path, orjson.loads)
                if record.run_id != path.stem:
                    raise BadRecordError(f"{path.name} is the record of run {record.run_id}")
                records.append(shared.parts_of(record))
            except BadRecordError as error:
                unreadable.append(str(error))
        specs = _read_specs(folder / "manifest.json", manifest)
        # studies of earlier versions always spawned their runs
        isolation = manifest["request"].get("launch", {}).get("isolation", Isolation.spawn)
        forked = isolation == Isolation.fork
        by_cell: dict[str, list[RunRecord]] = defaultdict(list)
        for run in sorted(split_blocks(records), key=_run_number):
            by_cell[run.spec.cell.id].append(run)
        first = manifest["request"].get("timing", {}).get("first")
        cells = [
            _read_cell(entry, specs, by_cell, runs, forked, first) for entry in manifest["cells"]
        ]
    return StudyData(
        name=folder.resolve().name,
        manifest=manifest,
        cells=cells,
        unreadable=unreadable,
        planned=len(schedule),
        unfinished=len(
            unfinished_runs(
                schedule, records, manifest["request"]["runs"].get("first"), read_blocks(folder)
            )
        ),
        is_cut=was_cut(folder),
        died=sum(record.lacks_arms for record in records),
        diagnosis=_read_answer(folder / "diagnosis.json"),
        recipe=_read_answer(folder / RECIPE),
        dependence=_read_answer(folder / DEPENDENCE),
    )


def _read_manifest(path: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if manifest.get("schema", 0) > MANIFEST_SCHEMA:
        raise ValueError(
            f"{path} has schema {manifest['schema']}, but this harness reads schemas up to "
            f"{MANIFEST_SCHEMA}: use the version that wrote the study"
        )
    return manifest


def _read_specs(path: Path, manifest: Mapping[str, Any]) -> dict[str, Cell]:
    try:
        return {entry["id"]: Cell.from_json(entry["cell"]) for entry in manifest["cells"]}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} does not describe a study ({type(error).__name__}: {error})"
        ) from error


def _read_schedule(path: Path) -> list[str]:
    schedule = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(schedule, list) or not all(isinstance(name, str) for name in schedule):
        raise ValueError(f"{path} is no list of runs")
    return schedule


def _read_answer(path: Path) -> dict[str, Any] | None:
    """The document of a command that searches; None if another one made the study."""
    answer: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    return answer


@contextmanager
def unpacked_runs(folder: Path) -> Iterator[Path]:
    """The study's runs/ folder; for a published study, a temporary copy from the archive."""
    archive = folder / ARCHIVE
    if (folder / "runs").is_dir() or not archive.exists():
        yield folder / "runs"
        return
    with tempfile.TemporaryDirectory() as scratch:
        unpack(archive, Path(scratch))
        yield Path(scratch) / "runs"


def _read_cell(
    entry: dict[str, Any],
    specs: dict[str, Cell],
    by_cell: Mapping[str, list[RunRecord]],
    runs: Path,
    forked: bool,
    first_blocks: int | None,
) -> CellData:
    """Build the data of a cell; an alias gets the runs of the cell that it repeats."""
    measured = entry["same_as"] or entry["id"]
    own = by_cell.get(measured, [])
    path = runs / f"distances-{measured}.json"
    return CellData(
        id=entry["id"],
        cell=specs[entry["id"]],
        role=entry["role"],
        baseline=entry["baseline"],
        same_as=entry["same_as"],
        traces=[run for run in own if run.spec.kind is Kind.trace],
        timings=[run for run in own if run.spec.kind is Kind.timing and not run.spec.twin],
        twins=[run for run in own if run.spec.kind is Kind.timing and run.spec.twin],
        distances=read_distances(path),
        is_forked=forked and can_fork(specs[measured]),
        first_blocks=first_blocks,
    )


def _run_number(run: RunRecord) -> int:
    return run.spec.number


def is_timed(run: RunRecord) -> bool:
    """Whether a run's timing counts: it completed, alone on its device."""
    return run.timed is not None and run.outcome is not Outcome.contended
