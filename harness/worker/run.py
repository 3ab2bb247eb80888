"""Does one run and says how it ended: every ending becomes an outcome, none a lost worker."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.core import op_log
from harness.core.errors import UsageError
from harness.core.record import Outcome, RunRecord
from harness.core.redact import scrub
from harness.core.spec import Kind, RunSpec
from harness.host.system_load import SystemLoad
from harness.worker.backend import framework

TRACEBACK_LINES = 12
FULL_BELOW = 64 * 2**20  # bytes; snapshots of a large model fail well before the last one is used


def perform(spec: RunSpec, study: Path) -> RunRecord:
    """The record of the run; an exception of the training's becomes its outcome."""
    tools = framework(spec.cell.scenario.framework)
    began, load = time.perf_counter(), SystemLoad()
    record = RunRecord(run_id=spec.run_id, spec=spec, outcome=Outcome.ok)
    try:
        record = WORK[spec.kind](spec, record, study)
    except Exception as error:
        if is_disk_full(error, study):  # the machine's fault, not the training's
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        record = failed(record, error, tools.REFUSALS)
    return replace(
        record,
        effective=tools.effective(),
        threads=tools.threads(),
        wall_s=time.perf_counter() - began,
        other_load=load.others(),
    )


def is_disk_full(error: Exception, study: Path) -> bool:
    """Whether the study's disk is what is full; a DataLoader says the same of shared memory."""
    says_so = os.strerror(errno.ENOSPC) in str(error)
    return says_so and shutil.disk_usage(study).free < FULL_BELOW


def trace_run(spec: RunSpec, record: RunRecord, study: Path) -> RunRecord:
    tools = framework(spec.cell.scenario.framework)
    snapshots = study / "snapshots" / spec.cell.id
    repeats = [tools.traced(spec, snapshots) for _ in range(spec.repeats)]
    all_finite = all(isinstance(loss, float) for one in repeats for loss in one.losses)
    return replace(record, outcome=Outcome.ok if all_finite else Outcome.nan, repeats=repeats)


def timing_run(spec: RunSpec, record: RunRecord, study: Path) -> RunRecord:  # noqa: ARG001
    run = framework(spec.cell.scenario.framework).timed(spec)
    return replace(
        record,
        peak_mb=run.peak_mb,
        outcome=Outcome.nan if isinstance(run.timed.loss, str) else Outcome.ok,
        setup_s=run.setup_s,
        timed=run.timed,
    )


def operations_run(spec: RunSpec, record: RunRecord, study: Path) -> RunRecord:
    """The logs stand beside the records: they are large, and nothing but `diagnose` reads them."""
    tools = framework(spec.cell.scenario.framework)
    folder = study / op_log.FOLDER
    folder.mkdir(exist_ok=True)
    ends = [tools.watched(spec, folder, number) for number in range(1, spec.repeats + 1)]
    return replace(record, ends=ends)


def replay_run(spec: RunSpec, record: RunRecord, study: Path) -> RunRecord:
    tools = framework(spec.cell.scenario.framework)
    return replace(record, repeats=[tools.replayed(spec, study / op_log.FOLDER)])


WORK: dict[Kind, Callable[[RunSpec, RunRecord, Path], RunRecord]] = {
    Kind.trace: trace_run,
    Kind.timing: timing_run,
    Kind.operations: operations_run,
    Kind.replay: replay_run,
}


def failed(record: RunRecord, error: Exception, refusals: Sequence[re.Pattern[str]]) -> RunRecord:
    """Refused where the framework named an operation, else crashed, with the traceback's end."""
    for line in str(error).split("\n"):  # TensorFlow says it after a heading
        for pattern in refusals:
            if found := pattern.search(line):
                return replace(
                    record, outcome=Outcome.refused, operation=found[1], message=scrub(line)
                )
    if isinstance(error, UsageError):
        return replace(record, outcome=Outcome.crashed, message=scrub(str(error)))
    lines = "".join(traceback.format_exception(error)).rstrip().split("\n")
    message = "\n".join(scrub("\n".join(lines)).split("\n")[-TRACEBACK_LINES:])
    return replace(record, outcome=Outcome.crashed, message=message)
