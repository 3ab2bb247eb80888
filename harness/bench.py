"""Runs a study from its words to its report: what `python -m harness OVERRIDES` and `resume` do."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from harness import conduct, image
from harness.errors import StudyStoppedError, UsageError
from harness.plan import Plan, plan
from harness.probe import Probe, probe
from harness.progress import Display, estimate_s, in_words
from harness.record import Outcome
from harness.request import Request
from harness.study import StudyFolder, check_agrees, check_version, create, request_in

DONE, CONTROL_FAILED, RUNS_FAILED, INTERRUPTED = 0, 1, 3, 130
ENDED_BADLY = (Outcome.nan, Outcome.timeout, Outcome.crashed, Outcome.lost)


def bench(request: Request) -> int:
    """Asks the machine, plans, creates the study, runs it; gives the exit status."""
    request.check()
    found = probe(request)
    request = request.without(found.missing)
    status, folder = begin(request, found)
    if status == CONTROL_FAILED and request.study.repeat_failed and request.runs.timing:
        return repeat(request, found, folder)
    return status


def begin(request: Request, found: Probe, repeat_of: str | None = None) -> tuple[int, StudyFolder]:
    planned = plan(request, found.device)
    folder = create(request, planned, found, repeat_of)
    return carry_out(request, planned, folder), folder


def repeat(request: Request, found: Probe, failed: StudyFolder) -> int:
    """A study whose control failed is measured once more in another order; both are kept."""
    again = dataclasses.replace(
        request.study,
        seed=request.study.seed + 1,
        dir=f"{failed.path}-again",
        repeat_failed=False,
    )
    print(f"a control failed in {failed.path}: measuring once more, in another order")
    return begin(dataclasses.replace(request, study=again), found, repeat_of=failed.path.name)[0]


def resume(path: Path) -> int:
    """Completes a study, on the machine and with the versions that it was begun with."""
    folder = StudyFolder(path)
    document = folder.manifest
    check_version(document)
    if not folder.runs.is_dir():
        raise UsageError(f"{path} has no runs/: a published study is complete; begin a new one")
    request = request_in(document)
    check_agrees(document, probe(request))
    return carry_out(request, plan(request, document["device"]), folder)


def carry_out(request: Request, planned: Plan, folder: StudyFolder) -> int:
    """Runs what is left, reports, and ends with the line that says where the study is."""
    with folder.lock():
        remaining = folder.remaining(planned)
        guess = estimate_s(remaining, os.cpu_count() or 1)
        print(f"{len(remaining)} runs of {len(planned.cells)} cells, about {in_words(guess)}",
              file=sys.stderr, flush=True)  # fmt: skip
        signal.signal(signal.SIGTERM, interrupt)
        try:
            with Display(len(planned.runs), len(planned.runs) - len(remaining), guess) as display:
                conduct.Conductor(folder, request, planned).run(display)
        except KeyboardInterrupt:
            print(f"\nstopped; what is done is kept. Go on with:\n"
                  f"  {how_to_resume(folder.path)}", file=sys.stderr)  # fmt: skip
            return INTERRUPTED
        except StudyStoppedError as error:
            print(f"stopped: {error}. What is done is kept. When that is mended, go on with:\n"
                  f"  {how_to_resume(folder.path)}", file=sys.stderr)  # fmt: skip
            return RUNS_FAILED
        status = conduct.report(folder.path)
        print(f"study: {folder.path}")
        badly = any(record.outcome in ENDED_BADLY for record in folder.records())
        return status or (RUNS_FAILED if badly else DONE)


def how_to_resume(study: Path) -> str:
    """The command that goes on where the study was begun: in the container, or outside of it."""
    inside = image.identity() is not None
    return f"make resume STUDY={study}" if inside else f"python -m harness resume {study}"


def interrupt(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """SIGTERM ends a study as Ctrl-C does: workers first."""
    raise KeyboardInterrupt
