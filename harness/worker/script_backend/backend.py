"""Runs of scripts: what harness/worker/backend.py asks for. A step is an optimizer's step."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import save_file

from harness.core import op_log
from harness.core.errors import UsageError
from harness.core.record import Components, Repeat, Timed
from harness.core.spec import RunSpec, Scenario
from harness.worker.backend import TimedRun
from harness.worker.script_backend.files import digest_file
from harness.worker.script_backend.hook_recorder import HookRecorder
from harness.worker.script_backend.hooks import TrainingHooks
from harness.worker.script_backend.program import program_name, run_program
from harness.worker.script_backend.sandbox import create_sandbox
from harness.worker.script_backend.torchrun import start_group
from harness.worker.torch_backend import components, settings, snapshot
from harness.worker.torch_backend.backend import REFUSALS, peak_mb, threads
from harness.worker.torch_backend.digest import digest
from harness.worker.torch_backend.settings import effective_settings
from harness.worker.torch_backend.timer import make_clock
from harness.worker.torch_backend.trace import mean_loss
from harness.worker.torch_backend.warmup import warm_up_torch

__all__ = [
    "REFUSALS",
    "effective_settings",
    "run_operations",
    "run_replay",
    "run_timing",
    "run_trace",
    "threads",
    "warm_up",
]


def warm_up(asked: Scenario) -> None:  # noqa: ARG001 - nothing of it is imported beforehand
    warm_up_torch()


def run_trace(spec: RunSpec, snapshots: Path) -> Repeat:
    settings.apply(spec.determinism)
    seen = TrainingHooks()
    initial: list[str] = []
    steps: list[Components] = []
    losses: list[float | str] = []
    kept: dict[str, str] = {}
    rng_before = [components.rng()]

    def before_step() -> None:
        if not initial:
            initial.append(digest(components.params(seen)))

    def after_step() -> None:
        loss = _last_loss(seen)
        steps.append(components.step_digests(seen, rng_before.pop(), list(seen.inputs), loss))
        losses.extend(map(mean_loss, seen.last_losses))
        if snapshot.is_due(len(steps)):
            kept[str(len(steps))] = snapshot.save_snapshot(seen, snapshots)
        rng_before.append(components.rng())

    with create_sandbox(spec.cell.scenario, digest_file) as place:
        with start_group(spec, place), seen.install(before_step, after_step):
            run_program(spec.cell.scenario, place)
        _check_has_steps(seen, spec)
        kept.setdefault(str(len(steps)), snapshot.save_snapshot(seen, snapshots))
    return Repeat(
        initial=initial[0],
        steps=steps,
        losses=losses if len(losses) == len(steps) else [],
        final=_final_digests(seen),
        predictions=[],
        accuracy=None,
        facts={"optimizer steps": len(steps), "models": ", ".join(seen.models), **place.facts()},
        snapshots=kept,
    )


def run_timing(spec: RunSpec) -> TimedRun:
    """Reads the clock once per optimizer step; the first step holds the building, and is set-up."""
    clock = make_clock(torch.device(spec.cell.device))
    settings.apply(spec.determinism)
    seen = TrainingHooks()
    marks = []
    with create_sandbox(spec.cell.scenario, digest_file) as place, start_group(spec, place):
        began = time.perf_counter()
        with seen.install(after_step=lambda: marks.append(clock.mark())):
            run_program(spec.cell.scenario, place)
        clock.synchronise()
        took_s = time.perf_counter() - began
    _check_has_steps(seen, spec)
    first = max(1, spec.warmup)
    counted = len(marks) - first
    if counted < 1:
        raise UsageError(
            f"timing.warmup={spec.warmup} leaves no counted step of {len(marks)}: use "
            "a smaller timing.warmup, or have the script make more steps"
        )
    step_s = [clock.seconds(before, after) for before, after in pairwise(marks)]
    counted_s = clock.seconds(marks[first - 1], marks[-1])
    peak = peak_mb(torch.device(spec.cell.device))
    return TimedRun(
        setup_s=took_s - sum(step_s),
        peak_mb=peak,
        timed=Timed(
            counted_s=counted_s,
            counted_steps=counted,
            step_s=step_s,
            final=_final_digests(seen),
            loss=None,
            accuracy=None,
            facts={"optimizer steps": len(marks), **place.facts()},
        ),
    )


class _WindowEnd(BaseException):
    """Ends a script after its window; no ``except Exception`` of its own keeps it going."""


def _go_on() -> None:
    pass


def _stop() -> None:
    raise _WindowEnd


def run_operations(spec: RunSpec, folder: Path, repeat: int) -> dict[str, str]:
    """From the script's start: only itself knows what else it keeps."""
    assert spec.window is not None
    logged = HookRecorder(spec.window, spec.keep, at_end=_go_on if spec.to_end else _stop)
    settings.apply(spec.determinism)
    try:
        with (
            create_sandbox(spec.cell.scenario, digest_file) as place,
            start_group(spec, place, folder),
            logged.install(),
        ):
            run_program(spec.cell.scenario, place)
    except _WindowEnd:
        pass
    logged.check()
    op_log.write(op_log.log_path(folder, spec.run_id, repeat), logged.log(spec.run_id))
    if logged.recorder.kept:
        save_file(logged.recorder.kept, op_log.tensors_path(folder, spec.run_id, repeat))
    return _final_digests(logged.hooks) if spec.to_end else {}


def run_replay(spec: RunSpec, states: Path) -> Repeat:  # noqa: ARG001
    raise UsageError(
        f"{program_name(spec.cell.scenario)} keeps its state to itself: replay knows scenarios only"
    )


def _check_has_steps(seen: TrainingHooks, spec: RunSpec) -> None:
    if not seen.steps:
        raise UsageError(
            f"{program_name(spec.cell.scenario)} came to its end without a step of "
            "any torch optimizer: there is no training to compare"
        )


def _last_loss(seen: TrainingHooks) -> torch.Tensor:
    """NaN where the step has shown none."""
    return next(iter(seen.last_losses), torch.tensor(float("nan")))


def _final_digests(seen: TrainingHooks) -> dict[str, str]:
    """Outcome digests at the script's end, the same from a trace run and from a timing run."""
    return {
        "grads": digest(components.grads(seen)),
        "params": digest(components.params(seen)),
        "buffers": digest(components.buffers(seen)),
        "optimizer": components.optimizer(seen),
    }
