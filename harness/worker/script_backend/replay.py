"""The replay of a script through its own checkpoint, in runs of three kinds.

One trains a part and leaves its folder, with the checkpoint. One trains without interruption and
captures its state where the first one has ended. One resumes in the folder that the first has left,
with parts of the captured state put back.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from harness.core import op_log
from harness.core.folder_copy import copy_folder
from harness.core.paths import operations_of, snapshots_of, source_of
from harness.core.record import Repeat
from harness.core.spec import RunSpec
from harness.worker.script_backend.files import digest_file
from harness.worker.script_backend.interpreter import run_program
from harness.worker.script_backend.sandbox import create_sandbox
from harness.worker.script_backend.state_exchange import StateExchange
from harness.worker.script_backend.trace import ScriptTrace
from harness.worker.script_backend.visible_device import show_only
from harness.worker.torch_backend import settings
from harness.worker.torch_backend.hooks import TrainingHooks


def run_replay(spec: RunSpec, study: Path) -> Repeat:
    """Save if the spec has no ``begin``, capture if it has no ``parts``, else resume."""
    show_only(spec.cell.device)
    settings.apply(spec.determinism)
    logs = operations_of(study)
    left, is_resumed = logs / "left", spec.parts is not None
    trace = ScriptTrace(snapshots_of(study, spec.cell.id))
    exchange = _make_exchange(spec, logs, trace.hooks) if spec.begin else None
    source = left if is_resumed else source_of(study)
    with create_sandbox(spec.cell.scenario, source, digest_file) as sandbox:
        with _observe(trace, exchange):
            run_program(spec, sandbox)
        if exchange is None:
            shutil.rmtree(left, ignore_errors=True)
            copy_folder(sandbox.folder, left, ())
    trace.finish()
    repeat = trace.repeat(spec, sandbox, {})
    if exchange is None:
        return repeat
    if not is_resumed:
        torch.save(exchange.found, _captured(spec, logs))
    return replace(repeat, facts={**repeat.facts, "state": exchange.digests()})


def _make_exchange(spec: RunSpec, logs: Path, hooks: TrainingHooks) -> StateExchange:
    assert spec.begin is not None
    if spec.parts is None:
        return StateExchange(hooks, spec.begin)
    saved = torch.load(_captured(spec, logs), weights_only=False)  # our own file
    return StateExchange(hooks, 1, saved, spec.parts)


def _captured(spec: RunSpec, logs: Path) -> Path:
    assert spec.begin is not None
    return op_log.state_path(logs, "script", spec.begin)


@contextmanager
def _observe(trace: ScriptTrace, exchange: StateExchange | None) -> Iterator[None]:
    if exchange is None:
        with trace.install():
            yield
        return
    with (
        exchange.install(),
        trace.install(exchange.before_step, exchange.after_step, exchange.at_forward),
    ):
        yield
