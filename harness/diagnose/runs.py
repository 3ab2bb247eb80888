"""The runs that a diagnosis makes as it needs them, in the folder of its study."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core import op_log
from harness.core.frameworks import FRAMEWORKS, environment_of
from harness.core.record import RunRecord
from harness.core.spec import Cell, Kind, RunSpec
from harness.study.folder import StudyFolder
from harness.study.launcher import LocalLauncher
from harness.study.request import Request
from harness.study.session import Session

REPEATS = 2  # trainings in each process, so that per-call and per-process faults are told apart
FIRST_RUNS = 2  # runs that are begun with: often they show all, and no more are started for nothing


@dataclass(frozen=True)
class Experiment:
    folder: StudyFolder
    request: Request
    cell: Cell  # with its device

    @classmethod
    def of(cls, session: Session) -> Experiment:
        (planned,) = session.plan.cells
        return cls(session.folder, session.request, planned.cell)

    def __enter__(self) -> Experiment:
        return self

    def __exit__(self, *_: object) -> None:
        """Removes the logs and states, which are large."""
        for name in (op_log.FOLDER, "snapshots"):
            shutil.rmtree(self.folder.path / name, ignore_errors=True)

    @property
    def operations(self) -> Path:
        return self.folder.path / op_log.FOLDER

    @property
    def repeats(self) -> int:
        """Trainings in each process; a script runs once in its own."""
        return FRAMEWORKS[self.cell.scenario.framework].repeats(REPEATS)

    @property
    def ahead(self) -> int:
        """Runs that are started together where more than a first look is needed."""
        return max(FIRST_RUNS, self.request.launch.ahead)

    def completed_runs(self, cell: Cell, number: int) -> list[RunRecord]:
        return [one for one in self.traces(cell, number) if one.outcome.completed]

    def traces(self, cell: Cell, number: int) -> Iterator[RunRecord]:
        """Trace runs of a cell; those that were made before are not made again."""
        specs = [
            RunSpec(cell, Kind.trace, n, repeats=self.repeats, environment=environment_of(cell))
            for n in range(1, number + 1)
        ]
        known = {one.run_id: one for one in self.folder.records()}
        yield from (known[one.run_id] for one in specs if one.run_id in known)
        missing = [one for one in specs if one.run_id not in known]
        yield from self.launch(missing[:FIRST_RUNS])
        yield from self.launch(missing[FIRST_RUNS:])

    def launch(self, specs: Sequence[RunSpec]) -> Iterator[RunRecord]:
        position = 1 + max((one.position for one in self.folder.records()), default=-1)
        launcher = LocalLauncher(self.folder.path, self.request.launch, tick=lambda: None)
        yield from launcher.launch(specs, position)

    def log(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)
