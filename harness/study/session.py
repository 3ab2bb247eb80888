"""One study from request to report: probe, plan, create, lock, run, report.

``bench`` and ``resume`` stop there. A verb with a question of its own (diagnose, replay) passes an
Inquiry, which makes further runs once the planned ones are done.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

from harness.core.errors import StudyStoppedError, UsageError
from harness.core.exit_codes import DONE, FAILED, INTERRUPTED, RUNS_FAILED
from harness.core.record import Outcome
from harness.host import container_image
from harness.study.folder import (
    StudyFolder,
    check_same_machine,
    check_version,
    create_folder,
    request_from_manifest,
)
from harness.study.plan import Plan, plan
from harness.study.probe import Probe, probe
from harness.study.progress import Display, estimate_s, format_duration
from harness.study.reporting import report
from harness.study.request import Request
from harness.study.runner import Runner

FAILURES = (Outcome.nan, Outcome.timeout, Outcome.crashed, Outcome.lost)


@dataclass(frozen=True)
class Session:
    folder: StudyFolder
    request: Request
    plan: Plan


class Answer(Protocol):
    """What an inquiry found out."""

    @property
    def exit_status(self) -> int: ...

    def write(self, folder: Path) -> None:
        """Leaves a document in the study's folder, for the report."""

    def show(self) -> None:
        """Prints it."""


class Inquiry(Protocol):
    """A question that takes more runs than a plan can name in advance."""

    def answer(self, session: Session) -> Answer:
        """Raises UsageError or StudyStoppedError where there can be none."""

    def how_to_continue(self, session: Session) -> str:
        """The advice after Ctrl-C or a full disk."""


def bench(request: Request) -> int:
    """Runs a study. One whose control failed is measured once more, in another order."""
    request.check()
    found = probe(request)
    request = request.without_frameworks(found.missing)
    session = _create_session(request, found)
    status = _run_session(session)
    if status == FAILED and request.study.repeat_failed and request.runs.timing:
        print(f"a control failed in {session.folder.path}: measuring once more, in another order")
        return _run_session(_repeat_session(session, found))
    return status


def run_inquiry(request: Request, inquiry: Inquiry) -> int:
    """Runs a study for a question of its own."""
    request.check()
    return _run_session(_create_session(request, probe(request)), inquiry)


def resume(path: Path) -> int:
    """Completes a study, on the machine and with the versions that it was begun with."""
    folder = StudyFolder(path)
    document = folder.manifest
    check_version(document)
    if not folder.runs.is_dir():
        raise UsageError(f"{path} has no runs/: a published study is complete; begin a new one")
    request = request_from_manifest(document)
    check_same_machine(document, probe(request))
    return _run_session(Session(folder, request, plan(request, document["device"])))


def _create_session(request: Request, found: Probe, repeat_of: str | None = None) -> Session:
    planned = plan(request, found.device)
    return Session(create_folder(request, planned, found, repeat_of), request, planned)


def _repeat_session(failed: Session, found: Probe) -> Session:
    """Both studies are kept."""
    study = dataclasses.replace(
        failed.request.study,
        seed=failed.request.study.seed + 1,
        dir=f"{failed.folder.path}-again",
        repeat_failed=False,
    )
    request = dataclasses.replace(failed.request, study=study)
    return _create_session(request, found, repeat_of=failed.folder.path.name)


def _run_session(session: Session, inquiry: Inquiry | None = None) -> int:
    """Runs what is left, asks, reports; the last line printed names the study's folder."""
    folder = session.folder
    with folder.lock():
        signal.signal(signal.SIGTERM, _raise_interrupt)
        try:
            _run_plan(session)
            answer = inquiry.answer(session) if inquiry else None
        except KeyboardInterrupt:
            print(f"\nstopped; {_how_to_continue(session, inquiry)}", file=sys.stderr)
            return INTERRUPTED
        except StudyStoppedError as error:
            print(f"stopped: {error}; {_how_to_continue(session, inquiry)}", file=sys.stderr)
            return RUNS_FAILED
        if answer:
            answer.write(folder.path)
        status = report(folder.path)
        if answer:
            answer.show()
            status = answer.exit_status
        elif status == DONE and any(one.outcome in FAILURES for one in folder.records()):
            status = RUNS_FAILED
        print(f"study: {folder.path}")
        return status


def _run_plan(session: Session) -> None:
    total = len(session.plan.runs)
    remaining = session.folder.remaining(session.plan)
    estimate = estimate_s(remaining, os.cpu_count() or 1)
    print(
        f"{len(remaining)} runs of {len(session.plan.cells)} cells, "
        f"about {format_duration(estimate)}",
        file=sys.stderr,
        flush=True,
    )
    with Display(total, total - len(remaining), estimate) as display:
        Runner(session.folder, session.request, session.plan).run(display)


def _how_to_continue(session: Session, inquiry: Inquiry | None) -> str:
    if inquiry:
        return inquiry.how_to_continue(session)
    study = session.folder.path
    inside = container_image.identity() is not None
    command = f"make resume STUDY={study}" if inside else f"python -m harness resume {study}"
    return f"what is done is kept. Continue with:\n  {command}"


def _raise_interrupt(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """SIGTERM ends a study as Ctrl-C does: workers first."""
    raise KeyboardInterrupt
