"""Conducts a study: runs what is left of the plan, keeps distances up to date, reports."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.analysis.verdict import same_snapshots
from harness.errors import ReportError
from harness.launch.local import LocalLauncher
from harness.launch.worker_process import environment
from harness.plan import Plan
from harness.progress import Display
from harness.record import RunRecord, read_distances
from harness.request import Request
from harness.spec import Kind
from harness.study import StudyFolder
from harness.words import A_CONTROL_FAILED, A_REQUIREMENT_IS_BROKEN

# What a CI runner tells its steps, and how wide a terminal is.
SEEN_BY_CHECK = ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "COLUMNS")


@dataclass
class Conductor:
    folder: StudyFolder
    request: Request
    plan: Plan
    references: dict[str, RunRecord] = field(default_factory=dict)  # by cell: its first trace run
    left: Counter[str] = field(default_factory=Counter)  # trace runs to come, by cell

    def run(self, display: Display) -> None:
        """Everything that has no record yet. Raises StudyStoppedError; Ctrl-C passes through."""
        remaining = self.folder.remaining(self.plan)
        done = [record for record in self.folder.records() if record.spec.kind is Kind.trace]
        for record in sorted(done, key=lambda one: one.spec.number):
            self.note_reference(record)
            self.catch_up(record)
        self.left.update(spec.cell.id for spec in remaining if spec.kind is Kind.trace)
        launcher = LocalLauncher(self.folder.path, self.request.launch, display.tick)
        next_position = 1 + max((record.position for record in self.folder.records()), default=-1)
        for record in launcher.launch(remaining, next_position):
            if record.spec.kind is Kind.trace:
                self.after_trace(record)
            display.finished(record)

    def note_reference(self, record: RunRecord) -> None:
        """The first trace run of a cell that came to its end: others are compared with it."""
        if record.outcome.completed:
            self.references.setdefault(record.spec.cell.id, record)

    def catch_up(self, record: RunRecord) -> None:
        """Measures what an interrupted study had no time to, where snapshots are still there."""
        reference = self.references.get(record.spec.cell.id)
        if not reference or not record.outcome.completed or same_snapshots(reference, record):
            return
        document = self.folder.runs / f"distances-{record.spec.cell.id}.json"
        measured = read_distances(document)
        known = measured.get(record.run_id, {}).get("reference")
        if known != reference.repeats[0].final["params"]:
            self.measure_distances(reference, record)

    def after_trace(self, record: RunRecord) -> None:
        """Distances where the run parted from the first; then its snapshots are not needed."""
        cell = record.spec.cell.id
        self.note_reference(record)
        reference = self.references.get(cell)
        if record.outcome.completed and reference and not same_snapshots(reference, record):
            self.measure_distances(reference, record)
        self.left[cell] -= 1
        if not self.request.trace.keep_snapshots:
            self.delete_snapshots(cell, keep=reference if self.left[cell] > 0 else None)

    def measure_distances(self, reference: RunRecord, record: RunRecord) -> None:
        """In a process of the telling side, which has NumPy; a failure leaves them unknown."""
        words = [str(self.folder.path), reference.run_id, record.run_id]
        subprocess.run([sys.executable, "-m", "harness.analysis.distances", *words],
                       check=False, env=environment({}), stderr=subprocess.DEVNULL)  # fmt: skip

    def delete_snapshots(self, cell: str, keep: RunRecord | None) -> None:
        folder = self.folder.path / "snapshots" / cell
        kept = set(keep.repeats[0].snapshots.values()) if keep else set()
        for path in folder.glob("*.safetensors"):
            if path.stem not in kept:
                path.unlink()
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
            parent = folder.parent
            if parent.exists() and not any(parent.iterdir()):
                parent.rmdir()


def report(folder: Path) -> int:
    """Makes the report in a process of its own.

    Exit status 0, or 1 where a control failed; raises ReportError where there is no report.
    """
    status = subprocess.run(
        [sys.executable, "-m", "harness.report", str(folder)], check=False, env=environment({})
    ).returncode
    if status not in (0, A_CONTROL_FAILED):
        raise ReportError(f"the report could not be made; the runs are kept. Try again with:\n"
                          f"  python -m harness report {folder}")  # fmt: skip
    return int(status == A_CONTROL_FAILED)


def check(words: Sequence[str]) -> int:
    """Judges a study in a process of the telling side.

    Exit status 0, 1 where a requirement is broken, 2 or 3 where nothing was judged; raises
    ReportError where the program itself failed.
    """
    seen = {name: os.environ[name] for name in SEEN_BY_CHECK if name in os.environ}
    status = subprocess.run(
        [sys.executable, "-m", "harness.check", *words], check=False, env=environment(seen)
    ).returncode
    if status not in (0, 2, 3, A_REQUIREMENT_IS_BROKEN):
        raise ReportError(f"the study could not be judged (status {status}); report this as a "
                          "fault of the harness, with what was printed above")  # fmt: skip
    return 1 if status == A_REQUIREMENT_IS_BROKEN else status
