"""The backend for torch scenarios: implements the protocol in harness/worker/backend.py."""

from __future__ import annotations

import re
import time
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file

from harness.core import op_log
from harness.core.paths import operations_of, snapshots_of
from harness.core.record import Repeat, Timed
from harness.core.spec import RunSpec, Scenario
from harness.host.peak_memory import peak_resident_mb
from harness.worker import scenario_loader
from harness.worker.backend import TimedRun
from harness.worker.timing import add_times
from harness.worker.torch_backend import components, op_window, trace
from harness.worker.torch_backend.ranks import apply_and_log
from harness.worker.torch_backend.replay import run_replay
from harness.worker.torch_backend.settings import effective_settings
from harness.worker.torch_backend.timer import time_training
from harness.worker.torch_backend.training import build_training
from harness.worker.torch_backend.warmup import warm_up

__all__ = [
    "REFUSALS",
    "effective_settings",
    "load_scenario",
    "run_operations",
    "run_replay",
    "run_timing",
    "run_trace",
    "threads",
    "warm_up",
]

REFUSALS = (
    re.compile(r"(\S+) does not have a deterministic implementation"),
    re.compile(r"this operation is not deterministic because it uses (CuBLAS)"),
)

LONGEST_TIMING = 4  # times ``min_s``, for trainings whose preparation takes longer than their steps


def load_scenario(scenario: Scenario) -> None:
    scenario_loader.load_module(scenario)


def run_trace(spec: RunSpec, study: Path) -> Repeat:
    return trace.trace_training(
        spec, torch.device(spec.cell.device), snapshots_of(study, spec.cell.id)
    )


def run_timing(spec: RunSpec, study: Path) -> TimedRun:  # noqa: ARG001
    device = torch.device(spec.cell.device)
    start = time.perf_counter()
    training = build_training(spec, device)
    setup_s = time.perf_counter() - start
    times = time_training(training, spec.warmup, device)
    peak = peak_mb(device)
    evaluation = training.evaluate()
    final = components.final_digests(training, times.loss, evaluation)
    facts = training.facts()
    deadline = time.perf_counter() + LONGEST_TIMING * spec.min_s
    while times.counted_s < spec.min_s and time.perf_counter() < deadline:
        times = add_times(times, time_training(build_training(spec, device), spec.warmup, device))
    return TimedRun(
        setup_s=setup_s,
        peak_mb=peak,
        timed=Timed(
            counted_s=times.counted_s,
            counted_steps=times.counted_steps,
            step_s=times.step_s,
            final=final,
            loss=trace.mean_loss(times.loss),
            accuracy=evaluation.accuracy,
            facts=facts,
        ),
    )


def run_operations(spec: RunSpec, study: Path, repeat: int) -> dict[str, str]:
    folder = operations_of(study)
    window_log = op_window.log_window(spec, folder, partial(apply_and_log, spec, folder, repeat))
    op_log.write(op_log.log_path(folder, spec.run_id, repeat), window_log.log)
    if window_log.kept:
        save_file(window_log.kept, op_log.tensors_path(folder, spec.run_id, repeat))
    return window_log.final


def peak_mb(device: torch.device) -> float:
    """Return the peak in MiB: device memory allocated on CUDA, else the resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return peak_resident_mb()


def threads() -> int:
    return torch.get_num_threads()
