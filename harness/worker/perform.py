"""Does one run and says how it ended: every ending becomes an outcome, none a lost worker."""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from harness.errors import UsageError
from harness.record import Outcome, RunRecord, Timed
from harness.scrub import scrub
from harness.spec import Kind, RunSpec
from harness.worker import setting, state
from harness.worker.clock import timed
from harness.worker.load import Load
from harness.worker.prepare import prepared
from harness.worker.trace import scalar, traced

# What torch says where an operation has no deterministic version; the first names the operation.
REFUSALS = (
    re.compile(r"(\S+) does not have a deterministic implementation"),
    re.compile(r"this operation is not deterministic because it uses (CuBLAS)"),
)
TRACEBACK_LINES = 12
FULL_BELOW = 64 * 2**20  # bytes; snapshots of a large model fail well before the last one is used


def perform(spec: RunSpec, study: Path) -> RunRecord:
    """The record of the run; an exception of the training's becomes its outcome."""
    began, load = time.perf_counter(), Load()
    record = RunRecord(run_id=spec.run_id, spec=spec, outcome=Outcome.ok)
    work: Callable[[RunSpec, RunRecord, Path], RunRecord] = (
        trace_run if spec.kind is Kind.trace else timing_run
    )
    try:
        record = work(spec, record, study)
    except Exception as error:
        if is_disk_full(error, study):  # the machine's fault, not the training's
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        record = failed(record, error)
    return replace(
        record,
        effective=setting.effective(),
        threads=torch.get_num_threads(),
        wall_s=time.perf_counter() - began,
        other_load=load.others(),
    )


def is_disk_full(error: Exception, study: Path) -> bool:
    """Whether the study's disk is what is full; a DataLoader says the same of shared memory."""
    says_so = os.strerror(errno.ENOSPC) in str(error)
    return says_so and shutil.disk_usage(study).free < FULL_BELOW


def trace_run(spec: RunSpec, record: RunRecord, study: Path) -> RunRecord:
    device = torch.device(spec.cell.device)
    snapshots = study / "snapshots" / spec.cell.id
    repeats = [traced(spec, device, snapshots) for _ in range(spec.repeats)]
    all_finite = all(isinstance(loss, float) for one in repeats for loss in one.losses)
    return replace(record, outcome=Outcome.ok if all_finite else Outcome.nan, repeats=repeats)


def timing_run(spec: RunSpec, record: RunRecord, study: Path) -> RunRecord:  # noqa: ARG001
    """Nothing is digested before the clock has stopped."""
    device = torch.device(spec.cell.device)
    began = time.perf_counter()
    training = prepared(spec, device)
    setup_s = time.perf_counter() - began
    reading = timed(training, spec.warmup, device)
    peak = peak_mb(device)  # before evaluation and digests, which may need more
    evaluation = training.evaluate()
    loss = scalar(reading.loss)
    return replace(
        record,
        peak_mb=peak,
        outcome=Outcome.ok if isinstance(loss, float) else Outcome.nan,
        setup_s=setup_s,
        timed=Timed(
            counted_s=reading.counted_s,
            counted_steps=reading.counted_steps,
            step_s=reading.step_s,
            final=state.final(training, reading.loss, evaluation),
            loss=loss,
            accuracy=evaluation.accuracy,
            facts=training.facts(),
        ),
    )


def failed(record: RunRecord, error: Exception) -> RunRecord:
    """Refused where torch named an operation, else crashed, with the traceback's end."""
    for pattern in REFUSALS:
        if found := pattern.search(str(error)):
            return replace(record, outcome=Outcome.refused, operation=found[1],
                           message=scrub(str(error).split("\n")[0]))  # fmt: skip
    if isinstance(error, UsageError):
        return replace(record, outcome=Outcome.crashed, message=scrub(str(error)))
    lines = "".join(traceback.format_exception(error)).rstrip().split("\n")
    message = "\n".join(scrub("\n".join(lines)).split("\n")[-TRACEBACK_LINES:])
    return replace(record, outcome=Outcome.crashed, message=message)


def peak_mb(device: torch.device) -> float:
    """Highest device memory allocated on CUDA; elsewhere the highest resident set (getrusage)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kibibytes on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
