"""Runs on this machine: workers import in parallel and train one at a time.

A batch of workers is started, all of them import torch side by side, and only when the last of them
is ready is the first released. So nothing of ours ever runs on a run's cores: on two cores a
training whose OpenMP threads wait for each other in a spin loop was ten times slower beside one
import. Runs train side by side only if each has cores of its own.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from harness.core.blocks import runs_apart
from harness.core.errors import StudyStoppedError
from harness.core.protocol import DONE, READY, UNWRITTEN
from harness.core.record import (
    ENDED_ITSELF,
    BadRecordError,
    Outcome,
    RunRecord,
    load_record,
    save_record,
)
from harness.core.redact import redact
from harness.core.spec import RunSpec
from harness.factors import catalog as factors
from harness.host.gpu_monitor import GpuMonitor
from harness.study.lanes import Cores, most_lanes, side_by_side
from harness.study.request import Launch
from harness.study.worker_process import IMPORT_LIMIT_S, StartProcess, WorkerProcess, spawn

LOG_TAIL_LINES = 16
LOG_TAIL_BYTES = 8192
EXTERNAL_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


@dataclass(frozen=True)
class _Run:
    """A run that is under way, unless ``word`` says that its worker never was ready."""

    worker: WorkerProcess
    word: str | None
    position: int
    attempt: int
    watch: GpuMonitor
    timeout_s: float
    released: float  # time.monotonic()


@dataclass(frozen=True)
class LocalLauncher:
    """``tick`` is called about twice a second while something is awaited.

    ``is_needed`` is asked before a worker is started, and again before it is released: what the
    runs before it have shown may have made it superfluous.
    """

    study: Path
    limits: Launch
    tick: Callable[[], None]
    start: StartProcess = spawn
    is_needed: Callable[[RunSpec], bool] = lambda _: True
    node: dict[str, str] = field(default_factory=dict)  # what records say of it, on a cluster

    def launch(self, runs: Iterable[RunSpec], first_position: int) -> Iterator[RunRecord]:
        """Yields the record of each run that is needed, in order, when it is on disk.

        Raises StudyStoppedError where a record cannot be written. Whatever ends the iteration
        early, Ctrl-C too, ends the workers.
        """
        queue, position = filter(self.is_needed, runs), first_position
        while specs := list(islice(queue, self.limits.ahead)):
            specs += islice(queue, max(0, most_lanes(specs) - len(specs)))
            batch: list[WorkerProcess] = []
            try:
                for spec in specs:
                    batch.append(self._spawn(spec))  # noqa: PERF401 - one by one, to end them all
                words = [worker.wait(IMPORT_LIMIT_S, self.tick) for worker in batch]
                for group in side_by_side(specs):
                    needed = [
                        (batch[n], words[n], cores)
                        for n, cores in group
                        if self.is_needed(specs[n])
                    ]
                    for record in self._run_together(needed, position):
                        yield record
                        position += 1
                        for apart in self._run_apart(record, position):
                            yield apart
                            position += 1
            finally:
                for worker in batch:
                    worker.end()

    def _spawn(self, spec: RunSpec) -> WorkerProcess:
        try:
            return WorkerProcess(spec, self.study, self.start)
        except OSError as error:
            raise StudyStoppedError(
                f"no worker for {spec.run_id} could be started ({error.strerror})"
            ) from error

    def _run_apart(self, block: RunRecord, first_position: int) -> Iterator[RunRecord]:
        """Times the arms of a block whose process died in processes of their own.

        Arms that were timed before an interruption are not timed again.
        """
        apart = runs_apart(block.spec) if block.lacks_arms else []
        missing = [spec for spec in apart if not self._has_record(spec)]
        for position, spec in enumerate(missing, first_position):
            worker = self._spawn(spec)
            try:
                word = worker.wait(IMPORT_LIMIT_S, self.tick)
                yield from self._run_together([(worker, word, None)], position)
            finally:
                worker.end()

    def _has_record(self, spec: RunSpec) -> bool:
        try:
            return load_record(self.study / "runs" / f"{spec.run_id}.json").is_done
        except (OSError, BadRecordError):
            return False

    def _run_together(
        self, workers: Sequence[tuple[WorkerProcess, str | None, Cores]], first_position: int
    ) -> list[RunRecord]:
        """Releases warmed workers and gives their records, in order, when all of them have ended.

        One killed from outside is run again, alone.
        """
        with contextlib.ExitStack() as stack:
            for worker, _, _ in workers:
                stack.enter_context(factors.beside(worker.spec.cell))
            runs = [
                self._release(worker, word, cores, position, attempt=1)
                for position, (worker, word, cores) in enumerate(workers, first_position)
            ]
            records = [self._await_end(run) for run in runs]
        return [self._repeat_lost(record) for record in records]

    def _repeat_lost(self, record: RunRecord) -> RunRecord:
        for attempt in range(2, self.limits.retries + 2):
            if record.outcome is not Outcome.lost:
                break
            again = self._spawn(record.spec)
            try:
                word = again.wait(IMPORT_LIMIT_S, self.tick)
                with factors.beside(record.spec.cell):
                    run = self._release(again, word, None, record.position, attempt)
                    record = self._await_end(run)
            finally:
                again.end()
        return record

    def _release(
        self, worker: WorkerProcess, word: str | None, cores: Cores, position: int, attempt: int
    ) -> _Run:
        watch = GpuMonitor(worker.spec.cell.device)
        watch.check_processes()
        timeout_s = self.limits.timeout_s * max(1, len(worker.spec.arms))
        if word == READY:
            worker.release(position, attempt, cores)
        return _Run(worker, word, position, attempt, watch, timeout_s, time.monotonic())

    def _await_end(self, run: _Run) -> RunRecord:
        worker, word, watch = run.worker, run.word, run.watch
        released = word == READY
        if released:
            left_s = max(0.0, run.released + run.timeout_s - time.monotonic())
            word = worker.wait(left_s, lambda: self._tick_and_monitor(watch))
            watch.check_clocks()  # a run shorter than a tick is looked at too, before they fall
        if word is None:
            worker.dump_stacks()
        status = worker.end(graceful=word in (DONE, ""))
        if word is not None and word.startswith(UNWRITTEN):
            raise StudyStoppedError(
                f"the record of {worker.spec.run_id} could not be written "
                f"({word.removeprefix(UNWRITTEN + ': ')})"
            )
        if word == DONE:
            watch.check_processes()
            return self._add_observations(self._read_record(worker.spec), watch)
        limit = "launch.timeout_s" if released else "importing torch"
        limit_s = run.timeout_s if released else IMPORT_LIMIT_S
        outcome, why = _classify_exit(word, status, f"{limit_s:g} s ({limit})")
        tail = _read_log_tail(worker.log)
        return save(
            self.study,
            RunRecord(
                run_id=worker.spec.run_id,
                spec=worker.spec,
                outcome=outcome,
                position=run.position,
                attempt=run.attempt,
                message=f"{why}\n{tail}".strip(),
                node=self.node,
            ),
        )

    def _tick_and_monitor(self, watch: GpuMonitor) -> None:
        watch.check_clocks()
        self.tick()

    def _add_observations(self, record: RunRecord, watch: GpuMonitor) -> RunRecord:
        """Adds what only the parent can know of a run: it shared its GPU, or that was slowed.

        Sharing spoils times, not bits, so it is no outcome of a run that is not timed.
        """
        seen = replace(record, throttled=watch.throttled, node=self.node)
        if watch.contended and record.is_timed:
            seen = replace(seen, outcome=Outcome.contended)
        return record if seen == record else save(self.study, seen)

    def _read_record(self, spec: RunSpec) -> RunRecord:
        try:
            return load_record(self.study / "runs" / f"{spec.run_id}.json")
        except (OSError, BadRecordError) as error:
            raise StudyStoppedError(f"the record of {spec.run_id} has gone: {error}") from error


def save(study: Path, record: RunRecord) -> RunRecord:
    """Write a record that no worker could. Raises StudyStoppedError."""
    try:
        save_record(study / "runs", record)
    except OSError as error:
        raise StudyStoppedError(
            f"the record of {record.run_id} could not be written ({error.strerror})"
        ) from error
    return record


def _classify_exit(word: str | None, status: int, limit: str) -> tuple[Outcome, str]:
    """The outcome of a worker that wrote no record, and why in a few words."""
    if word is None:
        return Outcome.timeout, f"not done after {limit}"
    if status < 0:
        name = signal.Signals(-status).name
        from_outside = -status in EXTERNAL_SIGNALS
        return (Outcome.lost if from_outside else Outcome.crashed), f"ended by {name}"
    if status == 0:
        return Outcome.crashed, f"{ENDED_ITSELF}, as by os._exit(0)"
    return Outcome.crashed, f"ended with exit status {status}"


def _read_log_tail(log: Path) -> str:
    """The last lines that the run printed, scrubbed."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
        text = file.read().decode(errors="replace").rstrip()
    lines = redact(text).split("\n")  # before it is cut: half a secret would not be known as one
    cut = log.stat().st_size > LOG_TAIL_BYTES
    return "\n".join(lines[cut:][-LOG_TAIL_LINES:])
