"""Further runs for a diagnosis or a replay, launched on demand in the folder of the study."""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from harness.core.errors import StudyStoppedError
from harness.core.frameworks import FRAMEWORKS, environment_of
from harness.core.paths import operations_of, snapshots_of
from harness.core.record import Repeat, RunRecord
from harness.core.spec import Cell, Kind, RunSpec
from harness.core.verdict import outcome_key
from harness.study.folder import StudyFolder
from harness.study.fork_server import Place, in_turn
from harness.study.launcher import LocalLauncher
from harness.study.request import Request
from harness.study.session import Session
from harness.study.worker_process import StartProcess

REPEATS = 2  # trainings per process, to distinguish per-call from per-process faults
FIRST_RUNS = 2  # size of the first batch: two runs are often enough


class TwoServers:
    """An inquiry that forks its runs from two servers in turn."""

    kept = 0

    @property
    def place(self) -> Place:
        return in_turn


@dataclass(frozen=True)
class Experiment:
    folder: StudyFolder
    request: Request
    cell: Cell  # as planned, with its device resolved
    launcher: LocalLauncher

    @classmethod
    @contextmanager
    def of(cls, session: Session, start: StartProcess) -> Iterator[Experiment]:
        """Remove operation logs and saved states, which are large, when the experiment is over."""
        folder, request = session.folder, session.request
        (planned,) = session.plan.cells
        try:
            launcher = LocalLauncher(folder.path, request.launch, lambda: None, start)
            yield cls(folder, request, planned.cell, launcher)
        finally:
            for unneeded in (operations_of(folder.path), snapshots_of(folder.path, "")):
                shutil.rmtree(unneeded, ignore_errors=True)

    @property
    def operations(self) -> Path:
        return operations_of(self.folder.path)

    @property
    def repeats(self) -> int:
        """Trainings per process; 1 if the framework supports only one, as for scripts."""
        return FRAMEWORKS[self.cell.scenario.framework].repeats(REPEATS)

    @property
    def ahead(self) -> int:
        """Number of runs to launch together after the first batch."""
        return max(FIRST_RUNS, self.request.launch.ahead)

    def untreated_runs(self) -> list[RunRecord]:
        """Return the recorded trace runs of the cell."""
        records = self.folder.records()
        return [
            run for run in records if run.spec.kind is Kind.trace and run.spec.cell == self.cell
        ]

    def train(self, spec: RunSpec, what: str) -> Repeat:
        """Run a training. Raises StudyStoppedError, which begins with ``what``, if it fails."""
        (record,) = self.launch([spec])
        if not record.repeats:
            raise StudyStoppedError(f"{what}: {record.outcome}: {record.reason}")
        return record.repeats[0]

    def completed_runs(self, cell: Cell, number: int) -> list[RunRecord]:
        return [record for record in self.traces(cell, number) if record.outcome.completed]

    def traces(self, cell: Cell, number: int) -> Iterator[RunRecord]:
        """Yield the first ``number`` trace runs of a cell, reusing recorded ones."""
        specs = [self._trace(cell, n) for n in range(1, number + 1)]
        recorded = {record.run_id: record for record in self.folder.records()}
        yield from (recorded[spec.run_id] for spec in specs if spec.run_id in recorded)
        missing = [spec for spec in specs if spec.run_id not in recorded]
        yield from self.launch(missing[:FIRST_RUNS])
        yield from self.launch(missing[FIRST_RUNS:])

    def until_they_differ(self, cell: Cell, most: int) -> list[RunRecord]:
        """Run until two trainings differ, a run fails or ``most`` agree."""
        (records,) = self.side_by_side([cell], most)
        return records

    def side_by_side(self, cells: Sequence[Cell], most: int) -> list[list[RunRecord]]:
        """The same for several cells, run by run, so that they can share fork servers."""
        known = {record.run_id: record for record in self.folder.records()}
        found: dict[str, list[RunRecord]] = {cell.id: [] for cell in cells}
        specs = [self._trace(cell, number) for number in range(1, most + 1) for cell in cells]
        for spec in specs:
            records = found[spec.cell.id]
            if spec.run_id in known and all_agree(records):
                records.append(known[spec.run_id])
        missing = (
            spec for spec in specs if spec.run_id not in known and all_agree(found[spec.cell.id])
        )
        for batch in (islice(missing, FIRST_RUNS * len(cells)), missing):
            for record in self.launch(batch):
                if all_agree(found[record.spec.cell.id]):  # else started before that was known
                    found[record.spec.cell.id].append(record)
        return list(found.values())

    def in_random_order(self, wanted: Sequence[tuple[Cell, int]]) -> list[list[RunRecord]]:
        """Return as many trace runs of each cell as are wanted.

        Those that are missing are run in random order, so that drift of the machine is no
        difference between cells.
        """
        known = {record.run_id: record for record in self.folder.records()}
        specs = [[self._trace(cell, n) for n in range(1, most + 1)] for cell, most in wanted]
        missing = [spec for own in specs for spec in own if spec.run_id not in known]
        order = random.Random(f"{self.request.study.seed} {len(known)}")
        launched = self.launch(order.sample(missing, len(missing)))
        known |= {record.run_id: record for record in launched}
        return [[known[spec.run_id] for spec in own] for own in specs]

    def has_traces(self, cell: Cell, number: int) -> bool:
        """Whether the first ``number`` trace runs of the cell are recorded."""
        known = {record.run_id for record in self.folder.records()}
        return all(self._trace(cell, n).run_id in known for n in range(1, number + 1))

    def _trace(self, cell: Cell, number: int) -> RunSpec:
        trainings = self.request.runs.trainings(number)
        repeats = FRAMEWORKS[cell.scenario.framework].repeats(trainings)
        return self.spec(cell, Kind.trace, number, repeats=repeats)

    def spec(self, cell: Cell, kind: Kind, number: int, **request: Any) -> RunSpec:
        """A run of a cell in the environment that it needs; ``request`` are fields of RunSpec."""
        forked = self.request.launch.is_forked(cell, kind, number)
        environment = environment_of(cell)
        return RunSpec(cell, kind, number, environment=environment, forked=forked, **request)

    def launch(self, specs: Iterable[RunSpec]) -> Iterator[RunRecord]:
        position = 1 + max((record.position for record in self.folder.records()), default=-1)
        yield from self.launcher.launch(specs, position)

    def log(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def all_agree(records: Iterable[RunRecord]) -> bool:
    """Whether all runs completed and all their trainings agree."""
    runs = list(records)
    results = {outcome_key(repeat) for run in runs for repeat in run.repeats}
    return len(results) < 2 and all(run.outcome.completed for run in runs)
