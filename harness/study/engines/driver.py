"""The parent of a study on a cluster: hands out jobs, and yields records as nodes write them.

Records on shared storage are the truth. An engine is only asked which jobs are alive: one that is
not, and has left runs without records, was lost and is submitted again.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path

from harness.core.blocks import runs_apart
from harness.core.errors import StudyStoppedError
from harness.core.paths import jobs_folder
from harness.core.record import BadRecordError, Outcome, RunRecord, load_record
from harness.core.spec import Kind, RunSpec
from harness.study.engines.engine import GONE_AFTER, Engine, EngineError, Living, waited
from harness.study.engines.jobs import Job, Ledger, jobs_of, load_notice, notice_path, save_job
from harness.study.launcher import save
from harness.study.request import Request


@dataclass
class _Open:
    """A job that lacks records."""

    job: Job
    missing: dict[str, RunSpec]
    gone: int = 0  # polls in a row that it was not alive
    queued_since: float = 0.0  # time.monotonic()


@dataclass
class JobLauncher:
    """Launches runs as `LocalLauncher` does, but on a cluster."""

    study: Path
    request: Request
    engine: Engine
    tick: Callable[[], None]
    is_needed: Callable[[RunSpec], bool] = lambda _: True
    planned: Sequence[RunSpec] = ()  # all runs of the study
    tries: Counter[str] = field(default_factory=Counter)  # by job

    def launch(self, runs: Sequence[RunSpec], first_position: int) -> Iterator[RunRecord]:
        """Yields the record of each run that is needed when it is on disk.

        Raises StudyStoppedError if the cluster refuses a job, or a node cannot run one. Whatever
        ends the iteration early, Ctrl-C too, ends the jobs.
        """
        jobs_folder(self.study).mkdir(exist_ok=True)
        self.ledger = Ledger(self.study)
        self.timed_before = self._find_timed(runs)
        ends = sorted({end for end in (self.request.runs.first, self.request.timing.first) if end})
        try:
            for stage in _stages(runs, ends):
                needed = [spec for spec in stage if self.is_needed(spec)]
                yield from self._finish(jobs_of(needed, first_position))
                first_position += len(needed)
        except BaseException:
            self._cancel()
            raise

    def _finish(self, jobs: Sequence[Job]) -> Iterator[RunRecord]:
        waiting = {
            job.name: _Open(self._with_whole_block(job), {spec.run_id: spec for spec in job.runs})
            for job in jobs
        }
        self._adopt(waiting)
        while waiting:
            living = self.engine.living()  # before looking for records, which a job writes first
            yield from self._collect(waiting)
            if living is not None:
                yield from self._replace_lost(waiting, living)
            self.tick()
            if waiting:
                time.sleep(self.request.launch.poll_s)

    def _find_timed(self, unfinished: Sequence[RunSpec]) -> dict[str, tuple[RunSpec, ...]]:
        """The finished timing runs by the job that they belong to."""
        present = {entry.name for entry in os.scandir(self.study / "runs")}
        left = {spec.run_id for spec in unfinished}
        timed = [
            spec
            for spec in self.planned
            if spec.kind is Kind.timing
            and spec.run_id not in left
            and f"{spec.run_id}.json" in present
        ]
        return {job.name: job.runs for job in jobs_of(timed, 0)}

    def _with_whole_block(self, job: Job) -> Job:
        """Add runs that are timed already: their node times them again if it times the others."""
        if all(spec.kind is not Kind.timing for spec in job.runs):
            return job
        before = self.timed_before.get(job.name, ())
        return dataclasses.replace(job, runs=(*before, *job.runs))

    def _adopt(self, waiting: Mapping[str, _Open]) -> None:
        """Note the ids of jobs whose driver died between submitting them and noting them itself."""
        unanswered = {one.name: one for one in self.ledger.submissions if not one.ids}
        for job_id, job in (self._await_answer() if unanswered else {}).items():
            if submission := unanswered.get(job.submission):
                submission.ids = submission.ids or [""] * len(submission.jobs)
                submission.ids[job.index] = job_id
        self.ledger.save()
        for name, one in waiting.items():
            one.gone = 0 if self.ledger.id_of(name) else GONE_AFTER

    def _await_answer(self) -> dict[str, Living]:
        while (living := self.engine.living()) is None:
            self.tick()
            time.sleep(self.request.launch.poll_s)
        return living

    def _collect(self, waiting: dict[str, _Open]) -> Iterator[RunRecord]:
        """Yields what is new. A lost run counts only once its job is given up."""
        present = {entry.name for entry in os.scandir(self.study / "runs")}
        for name, one in list(waiting.items()):
            for run_id, spec in list(one.missing.items()):
                records = self._records_of(spec) if f"{run_id}.json" in present else []
                if records:
                    del one.missing[run_id]
                    yield from records
            if not one.missing:
                del waiting[name]

    def _records_of(self, spec: RunSpec) -> list[RunRecord]:
        """A run's record, and those of its arms if they were timed apart; empty if one lacks.

        A node adds to the worker's record what it is; until then the record may change.
        """
        runs = self.study / "runs"
        try:
            record = load_record(runs / f"{spec.run_id}.json")
            apart = runs_apart(spec) if record.lacks_arms else []
            records = [record, *(load_record(runs / f"{one.run_id}.json") for one in apart)]
        except BadRecordError:
            return []
        return records if all(one.node and one.is_done for one in records) else []

    def _replace_lost(
        self, waiting: dict[str, _Open], living: Mapping[str, Living]
    ) -> Iterator[RunRecord]:
        """Submits jobs that are new or lost; yields the lost runs of those that are given up."""
        due = []
        for name, one in list(waiting.items()):
            if job := living.get(self.ledger.id_of(name) or ""):
                self._note_alive(one, job)
                continue
            one.gone += 1
            if one.gone < GONE_AFTER:
                continue
            notice = load_notice(self.study, name)
            if self.tries[name] and "error" in notice:  # not that of an earlier driver
                raise StudyStoppedError(f"job {name} on node {notice['node']}: {notice['error']}")
            if self.tries[name] <= self.request.launch.retries:
                due.append(one)
            else:
                yield from self._give_up(waiting.pop(name))
        self._submit(due)

    def _note_alive(self, one: _Open, job: Living) -> None:
        """Raises StudyStoppedError if it has waited too long for a node."""
        now, limit_s = time.monotonic(), self.request.launch.queue_s
        if one.gone or job.is_running:
            one.queued_since = now
        one.gone = 0
        if limit_s is not None and now - one.queued_since > limit_s:
            raise StudyStoppedError(waited(f"job {one.job.name}", limit_s, job.where))

    def _submit(self, due: Sequence[_Open]) -> None:
        queue = iter(due)
        while chunk := list(islice(queue, self.engine.most_together)):
            for one in chunk:
                notice_path(self.study, one.job.name).unlink(missing_ok=True)
                save_job(self.study, one.job)
            readable = re.sub(r"[^\w.-]", "", self.study.name)
            name = f"{readable}-{secrets.token_hex(3)}"
            submission = self.ledger.begin(name, [one.job.name for one in chunk])
            words = ["run", str(self.study.resolve()), name]
            try:
                submission.ids = self.engine.submit(name, words, len(chunk))
            except EngineError as error:
                raise StudyStoppedError(f"the cluster takes no job: {error}") from error
            self.ledger.save()
            for one in chunk:
                one.gone = 0
                one.queued_since = time.monotonic()
                self.tries[one.job.name] += 1

    def _give_up(self, one: _Open) -> Iterator[RunRecord]:
        """Yields the records of runs that are lost for good, until `resume` runs them again."""
        name, tries = one.job.name, self.tries[one.job.name]
        told = load_notice(self.study, name).get("node")
        node = self.engine.node_of(self.ledger.id_of(name) or "") or told
        message = (
            f"job {name} was lost {tries} time{'s' * (tries != 1)}"
            + (f", the last time on node {node}" if node else ", each time before it began")
            + f"; does that node see {self.study.resolve()}?"
        )
        for spec in one.missing.values():
            record = RunRecord(spec.run_id, spec, Outcome.lost, one.job.first, message=message)
            yield save(self.study, record)

    def _cancel(self) -> None:
        """End the study's jobs; those of a cluster that does not answer go on."""
        ours = {one.name for one in self.ledger.submissions}
        with suppress(EngineError):
            living = self.engine.living() or {}
            self.engine.cancel([i for i, job in living.items() if job.submission in ours])


def _stages(runs: Sequence[RunSpec], ends: Sequence[int]) -> Iterator[list[RunSpec]]:
    """Yields the runs up to each of these numbers, then the rest.

    What the runs of a stage have shown may make later ones superfluous.
    """
    for low, high in pairwise([0, *ends, math.inf]):
        if stage := [spec for spec in runs if low < spec.number <= high]:
            yield stage
