"""The backend for torch scenarios: implements the protocol in harness/worker/backend.py."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file

from harness.core import op_log
from harness.core.paths import operations_of, snapshots_of
from harness.core.record import Repeat
from harness.core.spec import RunSpec, Scenario
from harness.worker import scenario_loader
from harness.worker.backend import TimedRun
from harness.worker.torch_backend import op_window, trace
from harness.worker.torch_backend.ranks import apply_and_log
from harness.worker.torch_backend.replay import run_replay
from harness.worker.torch_backend.settings import effective_settings
from harness.worker.torch_backend.timed_cell import TimedCell
from harness.worker.torch_backend.timing_block import run_block
from harness.worker.torch_backend.warmup import warm_up

__all__ = [
    "REFUSALS",
    "effective_settings",
    "load_scenario",
    "run_block",
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


def load_scenario(scenario: Scenario) -> None:
    scenario_loader.load_module(scenario)


def run_trace(spec: RunSpec, study: Path) -> Repeat:
    return trace.trace_training(
        spec, torch.device(spec.cell.device), snapshots_of(study, spec.cell.id)
    )


def run_timing(spec: RunSpec, study: Path) -> TimedRun:  # noqa: ARG001
    cell = TimedCell(spec)
    while not cell.is_done:
        cell.train()
    return cell.finish()


def run_operations(spec: RunSpec, study: Path, repeat: int) -> dict[str, str]:
    folder = operations_of(study)
    window_log = op_window.log_window(spec, folder, partial(apply_and_log, spec, folder, repeat))
    op_log.write(op_log.log_path(folder, spec.run_id, repeat), window_log.log)
    if window_log.kept:
        save_file(window_log.kept, op_log.tensors_path(folder, spec.run_id, repeat))
    return window_log.final


def threads() -> int:
    return torch.get_num_threads()
