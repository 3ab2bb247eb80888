"""Runs what is left of a plan and measures the distances between runs that diverge."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from harness.core.completion import is_settled, read_blocks
from harness.core.paths import jobs_folder, snapshots_of
from harness.core.protocol import module_command
from harness.core.record import RunRecord, read_distances
from harness.core.spec import Kind, RunSpec
from harness.core.verdict import snapshots_match
from harness.study.child_process import environment
from harness.study.crash_check import CrashCheck
from harness.study.engines.choice import engine_of
from harness.study.engines.driver import JobLauncher
from harness.study.folder import StudyFolder
from harness.study.launcher import LocalLauncher
from harness.study.plan import Plan
from harness.study.progress import Display
from harness.study.request import Request
from harness.study.worker_process import StartProcess


@dataclass
class Runner:
    folder: StudyFolder
    request: Request
    plan: Plan
    deadline: float = math.inf  # time.monotonic() after which no run is started
    references: dict[str, RunRecord] = field(default_factory=dict)  # first trace run, by cell
    remaining_traces: Counter[str] = field(default_factory=Counter)  # trace runs left, by cell
    # trace runs of the first stage, by cell
    first_runs: dict[str, list[RunRecord]] = field(default_factory=lambda: defaultdict(list))
    settled: set[str] = field(default_factory=set)  # cells that get no more trace runs
    blocks: dict[str, int] = field(default_factory=dict)  # timing blocks needed, by cell
    asked: int = -1  # how many runs were done when that was computed

    def run(self, start: StartProcess, display: Display) -> None:
        """Runs all that is not done yet. Raises StudyStoppedError; Ctrl-C propagates.

        Ends early if the script of a new study crashes in every cell, so that nothing can work.
        """
        remaining = self.folder.remaining(self.plan)
        crash_check = CrashCheck(self.plan) if not self.folder.records() else None
        done = [record for record in self.folder.records() if record.spec.kind is Kind.trace]
        for record in sorted(done, key=lambda record: record.spec.number):
            self._note_reference(record)
            self._note_first_run(record)
            self._measure_missing(record)
        self.remaining_traces.update(spec.cell.id for spec in remaining if spec.kind is Kind.trace)
        for cell in self.settled:
            self._delete_unneeded(cell)
        self.blocks = read_blocks(self.folder.path)
        next_position = 1 + max((record.position for record in self.folder.records()), default=-1)
        launcher = self._launcher(start, display)
        for record in launcher.launch(remaining, next_position):
            if record.spec.kind is Kind.trace:
                self._after_trace(record)
            display.finished(record)
            display.total += len(record.spec.arms) * record.lacks_arms  # each is timed alone
            if crash_check and crash_check.all_crashed_with(record):
                print(
                    "every run of the script has crashed; the other "
                    f"{display.total - display.done} are not started",
                    file=sys.stderr,
                )
                break

    def _launcher(self, start: StartProcess, display: Display) -> LocalLauncher | JobLauncher:
        def is_needed(spec: RunSpec) -> bool:
            return self._is_needed(spec, display)

        study, launch = self.folder.path, self.request.launch
        if launch.engine == "local":
            return LocalLauncher(study, launch, display.tick, start, is_needed)
        engine = engine_of(launch, jobs_folder(study).resolve())
        return JobLauncher(study, self.request, engine, display.tick, is_needed)

    def _is_needed(self, spec: RunSpec, display: Display) -> bool:
        """Whether there is time for a run that tells anything new. Takes others off the total."""
        is_late = time.monotonic() > self.deadline
        is_settled = spec.kind is Kind.trace and spec.cell.id in self.settled
        is_superfluous = is_late or is_settled or self._is_beyond(spec, display)
        display.total -= is_superfluous
        return not is_superfluous

    def _is_beyond(self, spec: RunSpec, display: Display) -> bool:
        return spec.kind is Kind.timing and spec.number > self._last_block(spec, display)

    def _last_block(self, spec: RunSpec, display: Display) -> int:
        """The last block that the run's cell needs, once the scatter in the first ones is known."""
        first, cell = self.request.timing.first, spec.cell.id
        if first is None or spec.number <= first or cell not in self.compared:
            return self.request.runs.timing
        if cell not in self.blocks and self.asked < display.done:
            self.asked = display.done
            self._run_analysis("timing_precision", str(self.folder.path))
            self.blocks = read_blocks(self.folder.path)
        # undecided while a first block is under way, and for good if one failed
        return self.blocks.get(cell, self.request.runs.timing)

    @property
    def compared(self) -> set[str]:
        """Ids of the cells that have a cost, and of their baselines."""
        return {planned.cell.id for planned in self.plan.cells if planned.baseline}

    def _note_first_run(self, record: RunRecord) -> None:
        """Settles a cell as soon as the runs of its first stage say enough."""
        stage, cell = self.request.runs.first, record.spec.cell.id
        if stage is None or record.spec.number > stage:
            return
        self.first_runs[cell].append(record)
        if is_settled(self.first_runs[cell], stage):
            self.settled.add(cell)

    def _note_reference(self, record: RunRecord) -> None:
        """Makes a cell's first completed trace run the one that its others are compared with."""
        if record.outcome.completed:
            self.references.setdefault(record.spec.cell.id, record)

    def _measure_missing(self, record: RunRecord) -> None:
        """Measures a distance that an interrupted study did not get to, if snapshots remain."""
        reference = self.references.get(record.spec.cell.id)
        if not reference or not record.outcome.completed or snapshots_match(reference, record):
            return
        document = self.folder.runs / f"distances-{record.spec.cell.id}.json"
        measured = read_distances(document)
        known = measured.get(record.run_id, {}).get("reference")
        if known != reference.repeats[0].final["params"]:
            self._measure_distances(reference, record)

    def _after_trace(self, record: RunRecord) -> None:
        """Measures the distances if the run diverged; deletes snapshots that nothing needs now."""
        cell = record.spec.cell.id
        self._note_reference(record)
        self._note_first_run(record)
        reference = self.references.get(cell)
        if record.outcome.completed and reference and not snapshots_match(reference, record):
            self._measure_distances(reference, record)
        self.remaining_traces[cell] -= 1
        self._delete_unneeded(cell)

    def _measure_distances(self, reference: RunRecord, record: RunRecord) -> None:
        """If it fails, the distances stay unknown."""
        self._run_analysis("distances", str(self.folder.path), reference.run_id, record.run_id)

    def _run_analysis(self, module: str, *arguments: str) -> None:
        """Runs in a separate process, which has NumPy."""
        subprocess.run(
            module_command(f"harness.analysis.{module}", *arguments),
            check=False,
            env=environment({}),
            stderr=subprocess.DEVNULL,
        )

    def _delete_unneeded(self, cell: str) -> None:
        """Deletes snapshots, except the reference's while the cell has runs left."""
        if self.request.trace.keep_snapshots:
            return
        more = self.remaining_traces[cell] > 0 and cell not in self.settled
        keep = self.references.get(cell) if more else None
        folder = snapshots_of(self.folder.path, cell)
        kept = set(keep.repeats[0].snapshots.values()) if keep else set()
        for path in folder.glob("*.safetensors"):
            if path.stem not in kept:
                path.unlink()
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
            parent = folder.parent
            if parent.exists() and not any(parent.iterdir()):
                parent.rmdir()
