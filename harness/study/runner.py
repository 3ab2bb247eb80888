"""Runs what is left of a plan."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field

from harness.core.completion import is_settled, read_blocks
from harness.core.paths import jobs_folder
from harness.core.protocol import module_command
from harness.core.record import RunRecord
from harness.core.spec import Kind, RunSpec
from harness.study.child_process import environment
from harness.study.crash_check import CrashCheck
from harness.study.engines.choice import engine_of
from harness.study.engines.driver import JobLauncher
from harness.study.folder import StudyFolder
from harness.study.launcher import LocalLauncher
from harness.study.plan import Plan
from harness.study.progress import Display
from harness.study.request import Request
from harness.study.snapshots import PAIRS_TOGETHER, Snapshots
from harness.study.worker_process import StartProcess


@dataclass
class Runner:
    folder: StudyFolder
    request: Request
    plan: Plan
    deadline: float = math.inf  # time.monotonic() after which no run is started
    # trace runs of the first stage, by cell
    first_runs: dict[str, list[RunRecord]] = field(default_factory=lambda: defaultdict(list))
    settled: set[str] = field(default_factory=set)  # cells that get no more trace runs
    blocks: dict[str, int] = field(default_factory=dict)  # timing blocks needed, by cell
    asked: int = -1  # how many runs were done when that was computed

    def __post_init__(self) -> None:
        self.on_cluster = self.request.launch.on_cluster
        keep_all = self.request.trace.keep_snapshots
        self.snapshots = Snapshots(self.folder.path, keep_all, self.on_cluster)
        self.ended: list[RunRecord] = []  # trace runs that the snapshots have not been told of
        self.together = PAIRS_TOGETHER if self.on_cluster else 1  # compared

    def run(self, start: StartProcess, display: Display) -> None:
        """Runs all that is not done yet. Raises StudyStoppedError; Ctrl-C propagates.

        Ends early if the script of a new study crashes in every cell, so that nothing can work.
        """
        remaining = self.folder.remaining(self.plan)
        records = self.folder.records()
        crash_check = CrashCheck(self.plan) if not records else None
        done = [record for record in records if record.spec.kind is Kind.trace]
        self.snapshots.expect(remaining)
        for record in sorted(done, key=lambda record: record.spec.number):
            self._note_first_run(record)
        self.snapshots.resume(done)
        self.blocks = read_blocks(self.folder.path)
        next_position = 1 + max((record.position for record in records), default=-1)
        launcher = self._launcher(start, display)
        for record in launcher.launch(remaining, next_position):
            if record.spec.kind is Kind.trace:
                self._note_first_run(record)
                self.ended.append(record)
            if len(self.ended) >= self.together:
                self._compare_ended()
            display.finished(record)
            display.total += len(record.spec.arms) * record.lacks_arms  # each is timed alone
            if crash_check and crash_check.all_crashed_with(record):
                print(
                    "every run of the script has crashed; the other "
                    f"{display.total - display.done} are not started",
                    file=sys.stderr,
                )
                break
        self._compare_ended()

    def _compare_ended(self) -> None:
        """Measures the distances of runs that have ended: together, which starts fewer processes.

        On this machine each is compared when it ends, as nothing else may run meanwhile.
        """
        if self.ended:
            self.snapshots.take(self.ended)
            self.ended = []

    def _launcher(self, start: StartProcess, display: Display) -> LocalLauncher | JobLauncher:
        def is_needed(spec: RunSpec) -> bool:
            return self._is_needed(spec, display)

        def tick() -> None:
            self._compare_ended()
            display.tick()

        study, launch = self.folder.path, self.request.launch
        if not self.on_cluster:
            return LocalLauncher(study, launch, display.tick, start, is_needed)
        engine = engine_of(launch, jobs_folder(study).resolve())
        return JobLauncher(study, self.request, engine, tick, is_needed, self.plan.runs)

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
            self.snapshots.settle(cell)

    def _run_analysis(self, module: str, *arguments: str) -> None:
        """Runs in a separate process, which has NumPy."""
        subprocess.run(
            module_command(f"harness.analysis.{module}", *arguments),
            check=False,
            env=environment({}),
            stderr=subprocess.DEVNULL,
        )
