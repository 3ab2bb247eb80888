"""The backend of unmodified scripts, whose steps are those of ``TrainingHooks``."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

from safetensors.torch import save_file

from harness.core import op_log
from harness.core.paths import operations_of, snapshots_of, source_of
from harness.core.record import Repeat, Timed
from harness.core.spec import RunSpec, Scenario
from harness.worker.backend import TimedRun
from harness.worker.script_backend.files import digest_file
from harness.worker.script_backend.final_state import final_digests
from harness.worker.script_backend.interpreter import run_program
from harness.worker.script_backend.replay import run_replay
from harness.worker.script_backend.sandbox import create_sandbox
from harness.worker.script_backend.torchrun import start_group
from harness.worker.script_backend.trace import ScriptTrace, step_counts
from harness.worker.script_backend.visible_device import show_only
from harness.worker.torch_backend import settings
from harness.worker.torch_backend.backend import REFUSALS, threads
from harness.worker.torch_backend.hook_recorder import HookRecorder
from harness.worker.torch_backend.hooks import TrainingHooks
from harness.worker.torch_backend.settings import effective_settings
from harness.worker.torch_backend.timed_cell import peak_mb
from harness.worker.torch_backend.timer import make_clock
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


def load_scenario(scenario: Scenario) -> None:
    """Does nothing: a script is imported only when it runs."""


def run_trace(spec: RunSpec, study: Path) -> Repeat:
    show_only(spec.cell.device)
    settings.apply(spec.determinism)
    trace = ScriptTrace(snapshots_of(study, spec.cell.id))
    with (
        create_sandbox(spec.cell.scenario, source_of(study), digest_file) as sandbox,
        start_group(spec, sandbox) as ranks,
        trace.install(),
    ):
        run_program(spec, sandbox)
    trace.finish()
    return trace.repeat(spec, sandbox, ranks)


def run_timing(spec: RunSpec, study: Path) -> TimedRun:
    """Read the clock once per optimizer step. The first step counts as set-up: its interval
    includes everything that the script does before it.
    """
    device = show_only(spec.cell.device)
    clock = make_clock(device)
    settings.apply(spec.determinism)
    hooks = TrainingHooks()
    marks = []
    with (
        create_sandbox(spec.cell.scenario, source_of(study), digest_file) as sandbox,
        start_group(spec, sandbox) as ranks,
    ):
        start = time.perf_counter()
        with hooks.install(after_step=lambda: marks.append(clock.mark())):
            run_program(spec, sandbox)
        clock.synchronize()
        elapsed_s = time.perf_counter() - start
        peak = peak_mb(device)  # before written files are read
    hooks.check()
    final = final_digests(hooks, sandbox, spec, ranks)
    first = min(max(1, spec.warmup), len(marks) - 1)  # of a short training, fewer are warm-up
    if first < 1:  # a program of one step or none is timed as a whole
        whole = Timed(elapsed_s, 1, [elapsed_s], final, None, None, sandbox.facts())
        return TimedRun(setup_s=0.0, peak_mb=peak, timed=whole)
    counted = len(marks) - first
    few_steps = {"warm-up steps": first} if first < spec.warmup else {}
    step_s = [clock.seconds(before, after) for before, after in pairwise(marks)]
    counted_s = clock.seconds(marks[first - 1], marks[-1])
    return TimedRun(
        setup_s=elapsed_s - sum(step_s),
        peak_mb=peak,
        timed=Timed(
            counted_s=counted_s,
            counted_steps=counted,
            step_s=step_s,
            final=final,
            loss=None,
            accuracy=None,
            facts={**step_counts(hooks), **few_steps, **sandbox.facts()},
        ),
    )


class _WindowEnd(BaseException):
    """Stops a script after its window, even if the script has an ``except Exception``."""


def _continue_script() -> None:
    pass


def _stop_script() -> None:
    raise _WindowEnd


def run_operations(spec: RunSpec, study: Path, repeat: int) -> dict[str, str]:
    """Log a window of steps. Always runs from the script's start, because its state cannot be
    restored from outside.
    """
    assert spec.window is not None
    at_end = _continue_script if spec.to_end else _stop_script
    folder = operations_of(study)
    show_only(spec.cell.device)
    recorder = HookRecorder(spec.window, spec.keep, at_end)
    settings.apply(spec.determinism)
    try:
        with (
            create_sandbox(spec.cell.scenario, source_of(study), digest_file) as sandbox,
            start_group(spec, sandbox, folder) as ranks,
            recorder.install(),
        ):
            run_program(spec, sandbox)
    except _WindowEnd:
        pass
    recorder.hooks.check()
    recorder.check()
    op_log.write(op_log.log_path(folder, spec.run_id, repeat), recorder.log(spec.run_id))
    if kept := recorder.recorder.kept:
        save_file(kept, op_log.tensors_path(folder, spec.run_id, repeat))
    return final_digests(recorder.hooks, sandbox, spec, ranks) if spec.to_end else {}
