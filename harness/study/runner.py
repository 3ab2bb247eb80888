"""Runs what is left of a plan, and measures distances between runs as they diverge."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass, field

from harness.core.record import RunRecord, read_distances
from harness.core.spec import Kind
from harness.core.verdict import snapshots_match
from harness.study.child_process import environment, module_command
from harness.study.folder import StudyFolder
from harness.study.launcher import LocalLauncher
from harness.study.plan import Plan
from harness.study.progress import Display
from harness.study.request import Request


@dataclass
class Runner:
    folder: StudyFolder
    request: Request
    plan: Plan
    references: dict[str, RunRecord] = field(default_factory=dict)  # by cell: its first trace run
    remaining_traces: Counter[str] = field(default_factory=Counter)  # trace runs to come, by cell

    def run(self, display: Display) -> None:
        """Everything that has no record yet. Raises StudyStoppedError; Ctrl-C passes through."""
        remaining = self.folder.remaining(self.plan)
        done = [record for record in self.folder.records() if record.spec.kind is Kind.trace]
        for record in sorted(done, key=lambda one: one.spec.number):
            self._note_reference(record)
            self._measure_missing(record)
        self.remaining_traces.update(spec.cell.id for spec in remaining if spec.kind is Kind.trace)
        launcher = LocalLauncher(self.folder.path, self.request.launch, display.tick)
        next_position = 1 + max((record.position for record in self.folder.records()), default=-1)
        for record in launcher.launch(remaining, next_position):
            if record.spec.kind is Kind.trace:
                self._after_trace(record)
            display.finished(record)

    def _note_reference(self, record: RunRecord) -> None:
        """The first trace run of a cell that came to its end: others are compared with it."""
        if record.outcome.completed:
            self.references.setdefault(record.spec.cell.id, record)

    def _measure_missing(self, record: RunRecord) -> None:
        """Measures what an interrupted study had no time to, where snapshots are still there."""
        reference = self.references.get(record.spec.cell.id)
        if not reference or not record.outcome.completed or snapshots_match(reference, record):
            return
        document = self.folder.runs / f"distances-{record.spec.cell.id}.json"
        measured = read_distances(document)
        known = measured.get(record.run_id, {}).get("reference")
        if known != reference.repeats[0].final["params"]:
            self._measure_distances(reference, record)

    def _after_trace(self, record: RunRecord) -> None:
        """Distances where the run parted from the first; then its snapshots are not needed."""
        cell = record.spec.cell.id
        self._note_reference(record)
        reference = self.references.get(cell)
        if record.outcome.completed and reference and not snapshots_match(reference, record):
            self._measure_distances(reference, record)
        self.remaining_traces[cell] -= 1
        if not self.request.trace.keep_snapshots:
            self._delete_snapshots(
                cell, keep=reference if self.remaining_traces[cell] > 0 else None
            )

    def _measure_distances(self, reference: RunRecord, record: RunRecord) -> None:
        """In a process of the telling side, which has NumPy; a failure leaves them unknown."""
        words = [str(self.folder.path), reference.run_id, record.run_id]
        subprocess.run(
            module_command("harness.analysis.distances", *words),
            check=False,
            env=environment({}),
            stderr=subprocess.DEVNULL,
        )

    def _delete_snapshots(self, cell: str, keep: RunRecord | None) -> None:
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
