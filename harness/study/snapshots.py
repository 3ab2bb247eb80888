"""Snapshots of parameters: measures how far runs end apart, then deletes what nothing needs."""

from __future__ import annotations

import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.paths import snapshots_of
from harness.core.protocol import module_command
from harness.core.record import RunRecord, read_distances
from harness.core.spec import Kind, RunSpec
from harness.core.verdict import snapshots_match
from harness.study.child_process import environment

PAIRS_TOGETHER = 200  # that one process measures

Pair = tuple[RunRecord, RunRecord]  # the reference, and a run that diverged from it


@dataclass
class Snapshots:
    """Compares the trace runs of each cell with its reference, the completed one that comes first.

    On a cluster a later run may end earlier: it waits until the reference is known. There, other
    runs of the cell may be writing, so its snapshots stay until all have ended.
    """

    study: Path
    keep_all: bool = False
    on_cluster: bool = False
    references: dict[str, RunRecord] = field(default_factory=dict)  # by cell
    left: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))  # numbers, by cell
    waiting: dict[str, list[RunRecord]] = field(default_factory=lambda: defaultdict(list))

    def expect(self, runs: Iterable[RunSpec]) -> None:
        for spec in runs:
            if spec.kind is Kind.trace:
                self.left[spec.cell.id].add(spec.number)

    def resume(self, done: Sequence[RunRecord]) -> None:
        """Take the trace runs of an interrupted study; measure the distances that it missed."""
        cells = self._note(done)
        pairs = [pair for cell in cells for pair in self._diverged(cell)]
        self._measure([pair for pair in pairs if not self._is_measured(*pair)])
        self._delete_unneeded(cells)

    def take(self, records: Sequence[RunRecord]) -> None:
        """Measure the distances of trace runs that have ended, as far as their reference has."""
        cells = self._note(records)
        self._measure([pair for cell in cells for pair in self._diverged(cell)])
        self._delete_unneeded(cells)

    def settle(self, cell: str) -> None:
        """Expect no more runs of a cell."""
        self.left[cell].clear()

    def _note(self, records: Sequence[RunRecord]) -> list[str]:
        for record in records:
            self.left[record.spec.cell.id].discard(record.spec.number)
            self.waiting[record.spec.cell.id].append(record)
        return list(dict.fromkeys(record.spec.cell.id for record in records))

    def _diverged(self, cell: str) -> Iterator[Pair]:
        """Yields the waiting runs that differ from the reference, once it is known."""
        completed = [run for run in self.waiting[cell] if run.outcome.completed]
        if completed and cell not in self.references:
            first = min(completed, key=lambda run: run.spec.number)
            if any(number < first.spec.number for number in self.left[cell]):
                return
            self.references[cell] = first
        self.waiting[cell] = []
        for run in completed:
            if not snapshots_match(self.references[cell], run):
                yield self.references[cell], run

    def _is_measured(self, reference: RunRecord, run: RunRecord) -> bool:
        measured = read_distances(self.study / "runs" / f"distances-{run.spec.cell.id}.json")
        known = measured.get(run.run_id, {}).get("reference")
        return known == reference.repeats[0].final["params"]

    def _measure(self, pairs: Sequence[Pair]) -> None:
        """Measures in a process that has NumPy. If it fails, the distances stay unknown."""
        for start in range(0, len(pairs), PAIRS_TOGETHER):
            together = pairs[start : start + PAIRS_TOGETHER]
            names = [run.run_id for pair in together for run in pair]
            subprocess.run(
                module_command("harness.analysis.distances", str(self.study), *names),
                check=False,
                env=environment({}),
                stderr=subprocess.DEVNULL,
            )

    def _delete_unneeded(self, cells: Iterable[str]) -> None:
        """Deletes snapshots, except those of runs that wait, and the reference's if runs are left.

        A snapshot that equals the reference's is the same file.
        """
        for cell in cells:
            if self.keep_all or self.waiting[cell] or (self.on_cluster and self.left[cell]):
                continue
            reference = self.references.get(cell) if self.left[cell] else None
            kept = set(reference.repeats[0].snapshots.values()) if reference else set()
            folder = snapshots_of(self.study, cell)
            for path in folder.glob("*.safetensors"):
                if path.stem not in kept:
                    path.unlink()
            if not kept:
                shutil.rmtree(folder, ignore_errors=True)
                if folder.parent.exists() and not any(folder.parent.iterdir()):
                    folder.parent.rmdir()
