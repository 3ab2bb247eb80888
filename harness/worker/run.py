"""Executes one run and records how it ended: every error becomes an outcome."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path

from harness.core.errors import ObserverError, UsageError
from harness.core.paths import operations_of
from harness.core.record import ArmResult, Outcome, RunRecord
from harness.core.redact import redact
from harness.core.spec import Kind, RunSpec
from harness.factors.catalog import read_conditions
from harness.host.system_load import SystemLoad
from harness.worker.backend import BlockArm, TimedRun, load_backend

TRACEBACK_LINES = 12
FULL_BELOW = 64 * 2**20  # bytes; a large model's snapshot fails well before the last byte is used


def execute(spec: RunSpec, study: Path) -> RunRecord:
    """Return the record of the run; an exception from the training becomes its outcome.

    Raises OSError (ENOSPC) if the disk that holds ``study`` is full.
    """
    backend = load_backend(spec.cell.scenario.framework)
    start, load = time.perf_counter(), SystemLoad()
    record = RunRecord(run_id=spec.run_id, spec=spec, outcome=Outcome.ok)
    try:
        record = RUNNERS[spec.kind](spec, record, study)
    except Exception as error:
        if _is_disk_full(error, study):  # the machine's fault, not the training's
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        record = _failed_record(record, error, backend.REFUSALS)
    return replace(
        record,
        effective=backend.effective_settings(),
        conditions={} if spec.cell.perturbed is None else read_conditions(),
        threads=backend.threads(),
        wall_s=time.perf_counter() - start,
        other_load=load.others(),
    )


def _is_disk_full(error: Exception, study: Path) -> bool:
    """Whether the study's disk is full; a DataLoader raises the same error for shared memory."""
    is_no_space_error = os.strerror(errno.ENOSPC) in str(error)
    return is_no_space_error and shutil.disk_usage(study).free < FULL_BELOW


def _trace_run(spec: RunSpec, record: RunRecord, study: Path) -> RunRecord:
    backend = load_backend(spec.cell.scenario.framework)
    repeats = [backend.run_trace(spec, study) for _ in range(spec.repeats)]
    all_finite = all(isinstance(loss, float) for repeat in repeats for loss in repeat.losses)
    return replace(record, outcome=Outcome.ok if all_finite else Outcome.nan, repeats=repeats)


def _timing_run(spec: RunSpec, record: RunRecord, study: Path) -> RunRecord:
    backend = load_backend(spec.cell.scenario.framework)
    if not spec.arms:
        return _add_times(record, backend.run_timing(spec, study))
    arms = backend.run_block(spec)
    for arm in arms:
        if arm.error and _is_disk_full(arm.error, study):
            raise arm.error
    return replace(record, arms=[_arm_result(record, arm, backend.REFUSALS) for arm in arms])


def _add_times(record: RunRecord, run: TimedRun) -> RunRecord:
    return replace(
        record,
        peak_mb=run.peak_mb,
        outcome=Outcome.nan if isinstance(run.timed.loss, str) else Outcome.ok,
        setup_s=run.setup_s,
        timed=run.timed,
    )


def _arm_result(record: RunRecord, arm: BlockArm, refusals: Sequence[re.Pattern[str]]) -> ArmResult:
    found = replace(record, effective=arm.effective, threads=arm.threads)
    if arm.run:
        found = _add_times(found, arm.run)
    elif arm.error:
        found = _failed_record(found, arm.error, refusals)
    return ArmResult(**{item.name: getattr(found, item.name) for item in fields(ArmResult)})


def _operations_run(spec: RunSpec, record: RunRecord, study: Path) -> RunRecord:
    """Write the logs beside the records: they are large, and only `diagnose` reads them."""
    backend = load_backend(spec.cell.scenario.framework)
    operations_of(study).mkdir(exist_ok=True)
    ends = [backend.run_operations(spec, study, number) for number in range(1, spec.repeats + 1)]
    return replace(record, ends=ends)


def _replay_run(spec: RunSpec, record: RunRecord, study: Path) -> RunRecord:
    backend = load_backend(spec.cell.scenario.framework)
    return replace(record, repeats=[backend.run_replay(spec, study)])


RUNNERS: dict[Kind, Callable[[RunSpec, RunRecord, Path], RunRecord]] = {
    Kind.trace: _trace_run,
    Kind.timing: _timing_run,
    Kind.operations: _operations_run,
    Kind.replay: _replay_run,
}


def _failed_record(
    record: RunRecord, error: Exception, refusals: Sequence[re.Pattern[str]]
) -> RunRecord:
    """Refused if the framework names an operation, else crashed with the end of the traceback."""
    for line in str(error).split("\n"):  # TensorFlow prints a heading first
        for pattern in refusals:
            if match := pattern.search(line):
                return replace(
                    record, outcome=Outcome.refused, operation=match[1], message=redact(line)
                )
    outcome = Outcome.observer_failed if isinstance(error, ObserverError) else Outcome.crashed
    if isinstance(error, UsageError):
        return replace(record, outcome=Outcome.crashed, message=redact(str(error)))
    lines = "".join(traceback.format_exception(error)).rstrip().split("\n")
    message = "\n".join(redact("\n".join(lines)).split("\n")[-TRACEBACK_LINES:])
    return replace(record, outcome=outcome, message=message)
