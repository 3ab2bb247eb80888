"""A job on its node: ``python -m harness.study.engines.node run STUDY SUBMISSION INDEX``.

It runs what its job lacks with the launcher of a study on one machine, so that a node measures what
a workstation would. ``node probe FOLDER INDEX`` says what such a node is.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import platform
import secrets
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.core.blocks import runs_apart
from harness.core.completion import done_runs
from harness.core.errors import StudyStoppedError, UsageError
from harness.core.exit_codes import DONE, FAILED
from harness.core.files import write_json
from harness.core.record import BadRecordError, RunRecord, load_record
from harness.core.spec import Kind, RunSpec
from harness.study.engines.jobs import Job, Ledger, load_job, save_notice
from harness.study.folder import StudyFolder
from harness.study.fork_server import process_starter
from harness.study.launcher import LocalLauncher
from harness.study.manifest import check_same_machine, check_version, request_from_manifest
from harness.study.probe import Probe, probe


def main(words: Sequence[str]) -> int:
    verb, folder, *rest = words
    if verb == "probe":
        return _answer_probe(Path(folder))
    submission, index = rest
    return _run_job(Path(folder), submission, int(index))


def _answer_probe(folder: Path) -> int:
    request = request_from_manifest(json.loads((folder / "request.json").read_text()))
    try:
        answer: dict[str, Any] = {"probe": dataclasses.asdict(probe(request))}
    except UsageError as error:
        answer = {"error": str(error)}
    write_json(folder / "answer.json", {"node": platform.node(), **answer})
    return DONE


def _run_job(study: Path, submission: str, index: int) -> int:
    name = Ledger(study).job_of(submission, index)
    if name is None:
        return DONE
    notice = {"node": platform.node()}
    save_notice(study, name, notice)
    try:
        _measure(StudyFolder(study), load_job(study, name))
    except (UsageError, StudyStoppedError) as error:
        save_notice(study, name, {**notice, "error": str(error)})
        return FAILED
    return DONE


def _measure(folder: StudyFolder, job: Job) -> None:
    document = folder.manifest
    check_version(document)
    request = request_from_manifest(document)
    here = probe(request)
    check_same_machine(document, here, "this node is not as the one that the study began on")
    allocation = secrets.token_hex(4)  # another one when the job is requeued
    node = describe_node(here, allocation)
    with process_starter(lambda _: 0, together=1) as start:
        launcher = LocalLauncher(folder.path, request.launch, lambda: None, start, node=node)
        for _ in launcher.launch(_left(folder, job, allocation), job.first):
            pass


def describe_node(here: Probe, allocation: str) -> dict[str, str]:
    """What a record says of the node that its run was measured on, without the node's name."""
    facts = {
        "cpu": here.machine["cpu"],
        "gpu": ", ".join(device["name"] for device in here.cuda),
        "driver": here.machine["driver"],
        "torch": here.software.get("torch"),
        "allocation": allocation,
    }
    return {name: str(value) for name, value in facts.items() if value}


def _left(folder: StudyFolder, job: Job, allocation: str) -> list[RunSpec]:
    """The job's runs without a record, and all that are timed if one is not timed here.

    A cost pairs the times of one block, which must come from one allocation.
    """
    records = list(_records(folder, job))
    done = done_runs(records)
    timed = {spec.run_id for spec in job.runs if spec.kind is Kind.timing}
    again = set()
    if not timed <= done:
        here = {run.run_id for run in records if run.node.get("allocation") == allocation}
        again = timed & done - here
    left = [spec for spec in job.runs if spec.run_id in again or spec.run_id not in done]
    return sorted(left, key=lambda spec: spec.run_id not in again)  # the job ends with a new record


def _records(folder: StudyFolder, job: Job) -> Iterator[RunRecord]:
    for spec in job.runs:
        for one in (spec, *runs_apart(spec)):
            with contextlib.suppress(BadRecordError):
                record = load_record(folder.runs / f"{one.run_id}.json")
                if record.node:  # else the node died between the two times that it is written
                    yield record


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
