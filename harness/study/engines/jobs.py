"""The jobs of a study, and under which name and id each was submitted::

results/<id>/jobs/submissions.json   the ledger
                  NAME.json          the runs of a job
                  NAME.node.json     the node that began it, and what stopped it there
                  *.log              what an engine's jobs print
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.core.files import write_json
from harness.core.paths import jobs_folder
from harness.core.spec import RunSpec
from harness.core.spec_json import to_json


@dataclass(frozen=True)
class Job:
    """What one allocation runs: each setting of a scenario once, so that timings stay paired."""

    name: str
    runs: tuple[RunSpec, ...]  # in the order in which they are released
    first: int  # position of the first run in the study


def jobs_of(runs: Iterable[RunSpec], first_position: int) -> list[Job]:
    """Group runs by scenario and number, in their order."""
    groups: dict[str, list[RunSpec]] = {}
    for spec in runs:
        groups.setdefault(f"{spec.cell.scenario.label}-{spec.number:03d}", []).append(spec)
    jobs, first = [], first_position
    for name, group in groups.items():
        jobs.append(Job(name, tuple(group), first))
        first += len(group)
    return jobs


def save_job(study: Path, job: Job) -> None:
    document = {"runs": [to_json(spec) for spec in job.runs], "first": job.first}
    write_json(jobs_folder(study) / f"{job.name}.json", document)


def load_job(study: Path, name: str) -> Job:
    document = json.loads((jobs_folder(study) / f"{name}.json").read_text())
    return Job(name, tuple(map(RunSpec.from_json, document["runs"])), document["first"])


def save_notice(study: Path, job: str, notice: dict[str, Any]) -> None:
    """Say where a job runs, and with ``error`` what stopped it there."""
    write_json(notice_path(study, job), notice)


def load_notice(study: Path, job: str) -> dict[str, Any]:
    """Return what a job's node said last; empty if no node has begun it."""
    with suppress(OSError, ValueError):
        notice: dict[str, Any] = json.loads(notice_path(study, job).read_text())
        return notice
    return {}


def notice_path(study: Path, job: str) -> Path:
    return jobs_folder(study) / f"{job}.node.json"


def remove_jobs(study: Path) -> None:
    """Remove what only unfinished jobs need."""
    shutil.rmtree(jobs_folder(study), ignore_errors=True)


@dataclass
class Submission:
    """Jobs that were handed to the engine together, under one name."""

    name: str
    jobs: list[str]
    ids: list[str] = field(default_factory=list)  # in the same order; empty: not answered yet


class Ledger:
    """The submissions of a study, saved before each of them and again when it has its ids.

    So a driver that takes over from one that died finds by name what that one submitted last. The
    last submission of a job is the one that counts: a node ends any other at once.
    """

    def __init__(self, study: Path) -> None:
        """Raises UsageError if the file is damaged."""
        self.path = jobs_folder(study) / "submissions.json"
        try:
            entries = json.loads(self.path.read_text()) if self.path.exists() else []
            self.submissions = [Submission(**entry) for entry in entries]
        except (ValueError, TypeError) as error:
            raise UsageError(f"{self.path} is damaged: {error}") from error
        self.latest = {job: one for one in self.submissions for job in one.jobs}

    def begin(self, name: str, jobs: Sequence[str]) -> Submission:
        submission = Submission(name, list(jobs))
        self.submissions.append(submission)
        self.latest |= dict.fromkeys(jobs, submission)
        self.save()
        return submission

    def save(self) -> None:
        write_json(self.path, [dataclasses.asdict(one) for one in self.submissions])

    def job_of(self, submission: str, index: int) -> str | None:
        """The name of a job; None if it was submitted again since, under another name."""
        jobs = next(one.jobs for one in self.submissions if one.name == submission)
        name = jobs[index]
        return name if self.latest[name].name == submission else None

    def id_of(self, job: str) -> str | None:
        """The id of a job's last submission; None if it has none."""
        submission = self.latest.get(job)
        if submission is None or not submission.ids:
            return None
        return submission.ids[submission.jobs.index(job)]
