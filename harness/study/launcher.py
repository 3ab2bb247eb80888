"""Runs on this machine: workers import in parallel and train one at a time.

A batch of workers is started, all of them import torch side by side, and only when the last of them
is ready is the first released. So nothing of ours ever runs beside a run: on two cores a training
whose OpenMP threads wait for each other in a spin loop was ten times slower beside one import.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
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
from harness.host.gpu_monitor import GpuMonitor
from harness.study.request import Launch
from harness.study.worker_process import IMPORT_LIMIT_S, StartProcess, WorkerProcess, spawn

LOG_TAIL_LINES = 16
LOG_TAIL_BYTES = 8192
EXTERNAL_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


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

    def launch(self, runs: Iterable[RunSpec], first_position: int) -> Iterator[RunRecord]:
        """Yields the record of each run that is needed, in order, when it is on disk.

        Raises StudyStoppedError where a record cannot be written. Whatever ends the iteration
        early, Ctrl-C too, ends the workers.
        """
        queue, position = filter(self.is_needed, runs), first_position
        while specs := list(islice(queue, self.limits.ahead)):
            batch: list[WorkerProcess] = []
            try:
                for spec in specs:
                    batch.append(self._spawn(spec))  # noqa: PERF401 - one by one, to end them all
                words = [worker.wait(IMPORT_LIMIT_S, self.tick) for worker in batch]
                for worker, word in zip(batch, words, strict=True):
                    if not self.is_needed(worker.spec):
                        continue
                    record = self._run_to_end(worker, word, position)
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
                yield self._run_to_end(worker, word, position)
            finally:
                worker.end()

    def _has_record(self, spec: RunSpec) -> bool:
        try:
            return load_record(self.study / "runs" / f"{spec.run_id}.json").is_done
        except (OSError, BadRecordError):
            return False

    def _run_to_end(self, worker: WorkerProcess, word: str | None, position: int) -> RunRecord:
        """Releases a warmed worker and gives its record; one killed from outside is run again."""
        record = self._supervise(worker, word, position, attempt=1)
        for attempt in range(2, self.limits.retries + 2):
            if record.outcome is not Outcome.lost:
                break
            again = self._spawn(worker.spec)
            try:
                word = again.wait(IMPORT_LIMIT_S, self.tick)
                record = self._supervise(again, word, position, attempt)
            finally:
                again.end()
        return record

    def _supervise(
        self, worker: WorkerProcess, word: str | None, position: int, attempt: int
    ) -> RunRecord:
        watch = GpuMonitor(worker.spec.cell.device)
        watch.check_processes()
        timeout_s = self.limits.timeout_s * max(1, len(worker.spec.arms))
        released = word == READY
        if released:
            worker.release(position, attempt)
            word = worker.wait(timeout_s, lambda: self._tick_and_monitor(watch))
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
        limit_s = timeout_s if released else IMPORT_LIMIT_S
        outcome, why = _classify_exit(word, status, f"{limit_s:g} s ({limit})")
        tail = _read_log_tail(worker.log)
        return self.save(
            RunRecord(
                run_id=worker.spec.run_id,
                spec=worker.spec,
                outcome=outcome,
                position=position,
                attempt=attempt,
                message=f"{why}\n{tail}".strip(),
            )
        )

    def _tick_and_monitor(self, watch: GpuMonitor) -> None:
        watch.check_clocks()
        self.tick()

    def _add_observations(self, record: RunRecord, watch: GpuMonitor) -> RunRecord:
        """Adds what only the parent can know of a run: it shared its GPU, or that was slowed.

        Sharing spoils times, not bits, so it is no outcome of a run that is not timed.
        """
        seen = replace(record, throttled=watch.throttled)
        if watch.contended and record.is_timed:
            seen = replace(seen, outcome=Outcome.contended)
        return record if seen == record else self.save(seen)

    def _read_record(self, spec: RunSpec) -> RunRecord:
        try:
            return load_record(self.study / "runs" / f"{spec.run_id}.json")
        except (OSError, BadRecordError) as error:
            raise StudyStoppedError(f"the record of {spec.run_id} has gone: {error}") from error

    def save(self, record: RunRecord) -> RunRecord:
        try:
            save_record(self.study / "runs", record)
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
