"""Logs operations in the other ranks of a training of several processes, as in its first."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import torch.distributed

from harness.core import op_log
from harness.core.spec import RunSpec
from harness.worker.torch_backend import settings
from harness.worker.torch_backend.hook_recorder import HookRecorder

PROCESS_HOOKS = ExitStack()  # hooks that stay until the process ends


def apply_and_log(spec: RunSpec, folder: Path, repeat: int) -> None:
    """Apply the setting in a process that the scenario starts and log the window's operations.

    The scenario decides what runs in that process, so hooks observe it from outside, like a script.
    """
    settings.apply(spec.determinism)

    def write() -> None:
        rank = torch.distributed.get_rank()
        path = op_log.log_path(folder, spec.run_id, repeat, rank)
        op_log.write(path, recorder.log(spec.run_id))

    assert spec.window is not None
    recorder = HookRecorder(spec.window, at_end=write)
    PROCESS_HOOKS.enter_context(recorder.install())
