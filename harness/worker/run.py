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
from harness.core.redact import redact
from harness.core.spec import Kind, RunSpec
from harness.host.system_load import SystemLoad
from harness.worker.backend import load_backend

TRACEBACK_LINES = 12
FULL_BELOW = 64 * 2**20  # bytes; snapshots of a large model fail well before the last one is used


def execute(spec: RunSpec, study: Path) -> RunRecord:
    """The record of the run; an exception of the training's becomes its outcome."""
    tools = load_backend(spec.cell.scenario.framework)
    began, load = time.perf_counter(), SystemLoad()
    record = RunRecord(run_id=spec.run_id, spec=spec, outcome=Outcome.ok)
    try:
        record = RUNNERS[spec.kind](spec, record, study)
    except Exception as error:
        if _is_disk_full(error, study):  # the machine's fault, not the training's
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        record = _failed_record(record, error, tools.REFUSALS)
    return replace(
        record,
        effective=tools.effective_settings(),
        threads=tools.threads(),
        wall_s=time.perf_counter() - began,
        other_load=load.others(),
    )


def _is_disk_full(error: Exception, study: Path) -> bool:
    """Whether the study's disk is what is full; a DataLoader says the same of shared memory."""
    says_so = os.strerror(errno.ENOSPC) in str(error)
    return says_so and shutil.disk_usage(study).free < FULL_BELOW


def _trace_run(spec: RunSpec, record: RunRecord, study: Path) -> RunRecord:
    tools = load_backend(spec.cell.scenario.framework)
    snapshots = study / "snapshots" / spec.cell.id
    repeats = [tools.run_trace(spec, snapshots) for _ in range(spec.repeats)]
    all_finite = all(isinstance(loss, float) for one in repeats for loss in one.losses)
    return replace(record, outcome=Outcome.ok if all_finite else Outcome.nan, repeats=repeats)


def _timing_run(spec: RunSpec, record: RunRecord, study: Path) -> RunRecord:  # noqa: ARG001
    run = load_backend(spec.cell.scenario.framework).run_timing(spec)
    return replace(
        record,
        peak_mb=run.peak_mb,
        outcome=Outcome.nan if isinstance(run.timed.loss, str) else Outcome.ok,
        setup_s=run.setup_s,
        timed=run.timed,
    )


def _operations_run(spec: RunSpec, record: RunRecord, study: Path) -> RunRecord:
    """The logs stand beside the records: they are large, and nothing but `diagnose` reads them."""
    tools = load_backend(spec.cell.scenario.framework)
    folder = study / op_log.FOLDER
    folder.mkdir(exist_ok=True)
    ends = [tools.run_operations(spec, folder, number) for number in range(1, spec.repeats + 1)]
    return replace(record, ends=ends)


def _replay_run(spec: RunSpec, record: RunRecord, study: Path) -> RunRecord:
    tools = load_backend(spec.cell.scenario.framework)
    return replace(record, repeats=[tools.run_replay(spec, study / op_log.FOLDER)])


RUNNERS: dict[Kind, Callable[[RunSpec, RunRecord, Path], RunRecord]] = {
    Kind.trace: _trace_run,
    Kind.timing: _timing_run,
    Kind.operations: _operations_run,
    Kind.replay: _replay_run,
}


def _failed_record(
    record: RunRecord, error: Exception, refusals: Sequence[re.Pattern[str]]
) -> RunRecord:
    """Refused where the framework named an operation, else crashed, with the traceback's end."""
    for line in str(error).split("\n"):  # TensorFlow says it after a heading
        for pattern in refusals:
            if found := pattern.search(line):
                return replace(
                    record, outcome=Outcome.refused, operation=found[1], message=redact(line)
                )
    if isinstance(error, UsageError):
        return replace(record, outcome=Outcome.crashed, message=redact(str(error)))
    lines = "".join(traceback.format_exception(error)).rstrip().split("\n")
    message = "\n".join(redact("\n".join(lines)).split("\n")[-TRACEBACK_LINES:])
    return replace(record, outcome=Outcome.crashed, message=message)
