"""One study from request to report: probe, plan, create, lock, run, report.

``bench`` and ``resume`` do no more. ``diagnose`` and ``replay`` pass an Inquiry, which launches
further runs once the planned ones are done.
"""

from __future__ import annotations

import dataclasses
import math
import os
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

from harness.core.blocks import split_blocks
from harness.core.command_line import command, command_for_folder
from harness.core.errors import StudyStoppedError, UsageError
from harness.core.exit_codes import DONE, FAILED, INTERRUPTED, RUNS_FAILED
from harness.core.record import Outcome, RunRecord
from harness.host import container_image
from harness.study.engines.choice import probe_where_runs_go
from harness.study.engines.jobs import remove_jobs
from harness.study.folder import StudyFolder, create_folder
from harness.study.fork_server import Place, one_after_another, process_starter
from harness.study.manifest import check_same_machine, check_version, request_from_manifest
from harness.study.plan import Plan, plan
from harness.study.probe import Probe, probe
from harness.study.progress import Display, estimate_s, format_duration
from harness.study.reporting import report
from harness.study.request import Request
from harness.study.request_limits import check_request
from harness.study.runner import Runner
from harness.study.source_copy import remove_source, restore_source
from harness.study.worker_process import StartProcess

REPORT_S = 15.0  # of a budget, for the report; a tenth of a small one


@dataclass(frozen=True)
class Session:
    folder: StudyFolder
    request: Request
    plan: Plan
    began: float  # time.monotonic() when the command was typed; infinite: without a time limit


class Answer(Protocol):
    """The result of an inquiry."""

    @property
    def exit_status(self) -> int: ...

    def write(self, folder: Path) -> None:
        """Writes a document into the study's folder, for the report."""

    def show(self) -> None:
        """Prints the result."""


class Inquiry(Protocol):
    """A question whose runs cannot all be planned in advance."""

    @property
    def place(self) -> Place:
        """Which fork server makes a run of a cell, by its number."""

    @property
    def kept(self) -> int:
        """How many servers stay until the end."""

    def answer(self, session: Session, start: StartProcess) -> Answer:
        """``start`` starts the process of a run.

        Raises UsageError or StudyStoppedError if there is no answer.
        """

    def how_to_continue(self, session: Session) -> str:
        """Advice to print after Ctrl-C or when the study stops, as on a full disk."""


def bench(request: Request) -> tuple[Path, int]:
    """Runs a study; if a control fails, runs it once more in another order.

    Returns the folder of the last study and the exit status.
    """
    began = time.monotonic()
    _end_as_by_interrupt()
    check_request(request)
    if request.runs.trace < 1:
        raise UsageError(f"runs.trace={request.runs.trace}: must be at least 1")
    probed = probe_where_runs_go(request)
    request = request.without_frameworks(probed.missing)
    session = _create_session(request, probed, began)
    status = _run_session(session)
    if status == FAILED and request.study.repeat_failed and request.runs.timing:
        print(f"a control failed in {session.folder.path}; running once more, in another order")
        session = _repeat_session(session, probed)
        status = _run_session(session)
    return session.folder.path, status


def run_inquiry(request: Request, inquiry: Inquiry) -> tuple[Path, int]:
    """Runs a study, then answers the inquiry from it and from further runs.

    Returns the study's folder and the exit status.
    """
    _end_as_by_interrupt()
    check_request(request)
    if request.study.budget_s is not None:
        raise UsageError(
            "study.budget_s limits studies only: this command makes as many runs as it needs"
        )
    if request.launch.on_cluster:
        raise UsageError(
            f"launch={request.launch.engine} is for studies; run this command on a node, for "
            "example with srun"
        )
    session = _create_session(request, probe(request), time.monotonic())
    return session.folder.path, _run_session(session, inquiry)


def resume(path: Path) -> int:
    """Completes a study, on the machine and with the versions that it was started with."""
    _end_as_by_interrupt()
    folder = StudyFolder(path)
    document = folder.manifest
    check_version(document)
    if not folder.runs.is_dir():
        raise UsageError(f"{path} has no runs/: a published study is complete; start a new one")
    request = request_from_manifest(document)
    check_same_machine(document, probe_where_runs_go(request))
    planned = plan(request, document["device"])
    if not planned.runs:
        again = command_for_folder(request.words, path)
        raise UsageError(f"{path}: its runs were not planned in advance. Continue with:\n  {again}")
    no_limit = math.inf  # whoever resumes a study wants the rest of it
    return _run_session(Session(folder, request, planned, no_limit))


def _create_session(
    request: Request, probed: Probe, began: float, repeat_of: str | None = None
) -> Session:
    planned = plan(request, probed.device)
    return Session(create_folder(request, planned, probed, repeat_of), request, planned, began)


def _repeat_session(failed: Session, probed: Probe) -> Session:
    """The same study in another order, in a second folder."""
    study = dataclasses.replace(
        failed.request.study,
        seed=failed.request.study.seed + 1,
        dir=f"{failed.folder.path}-again",
        repeat_failed=False,
    )
    request = dataclasses.replace(failed.request, study=study)
    return _create_session(request, probed, time.monotonic(), failed.folder.path.name)


def _run_session(session: Session, inquiry: Inquiry | None = None) -> int:
    """Runs what is left, answers, reports. The last line printed names the study's folder."""
    folder = session.folder
    with folder.lock():
        try:
            if inquiry or folder.remaining(session.plan):
                restore_source(folder.path, session.plan, folder.manifest.get("source"))
            runs = session.request.runs
            place = inquiry.place if inquiry else one_after_another(runs.trace)
            with process_starter(place, inquiry.kept if inquiry else 0) as start:
                _run_plan(session, start)
                answer = inquiry.answer(session, start) if inquiry else None
        except KeyboardInterrupt:
            print(f"\nstopped; {_how_to_continue(session, inquiry)}", file=sys.stderr)
            return INTERRUPTED
        except StudyStoppedError as error:
            print(f"stopped: {error}; {_how_to_continue(session, inquiry)}", file=sys.stderr)
            return RUNS_FAILED
        remove_source(folder.path)
        if session.request.launch.on_cluster and not folder.remaining(session.plan):
            remove_jobs(folder.path)
        if answer:
            answer.write(folder.path)
        status = report(folder.path)
        if answer:
            answer.show()
            status = answer.exit_status
        elif status == DONE and _has_failures(folder.records()):
            status = RUNS_FAILED
        print(f"study: {folder.path}")
        return status


def _run_plan(session: Session, start: StartProcess) -> None:
    total = len(session.plan.runs)
    if not total:  # all runs are those of an inquiry
        return
    remaining = session.folder.remaining(session.plan)
    budget_s = session.request.study.budget_s
    estimate = estimate_s(remaining, os.cpu_count() or 1)
    limit = ""
    if budget_s and session.began < math.inf:
        limit = f", at most {format_duration(budget_s)} (study.budget_s)"
    print(
        f"{len(remaining)} runs of {_cells(len(session.plan.cells))}, "
        f"about {format_duration(estimate)}{limit}",
        file=sys.stderr,
        flush=True,
    )
    session.folder.note_budget(None)
    deadline = math.inf
    if budget_s:
        deadline = session.began + budget_s - min(REPORT_S, budget_s / 10)
    with Display(total, total - len(remaining), estimate, deadline) as display:
        Runner(session.folder, session.request, session.plan, deadline).run(start, display)
    left = len(session.folder.remaining(session.plan))
    is_cut = left > 0 and time.monotonic() > deadline
    if is_cut:
        session.folder.note_budget(budget_s)
        print(
            f"study.budget_s={budget_s:g} is used up; {left} runs are not started", file=sys.stderr
        )


def _cells(number: int) -> str:
    return f"{number} cell{'s' * (number != 1)}"


def _how_to_continue(session: Session, inquiry: Inquiry | None) -> str:
    if inquiry:
        return inquiry.how_to_continue(session)
    study = session.folder.path
    in_container = container_image.identity() is not None
    again = f"make resume STUDY={study}" if in_container else command(["resume", str(study)])
    return f"completed runs are kept. Continue with:\n  {again}"


def _end_as_by_interrupt() -> None:
    """Makes SIGTERM end a study as Ctrl-C does: workers and jobs first."""

    def interrupt(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def _has_failures(records: Iterable[RunRecord]) -> bool:
    """Or no run at all. A loss that is not finite counts too, though its digests are evidence."""
    arms = split_blocks(list(records))
    return not arms or any(arm.outcome.failed or arm.outcome is Outcome.nan for arm in arms)
