"""The other ranks of a training of several processes, logged as its first one is."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import torch.distributed

from harness.core import op_log
from harness.core.spec import RunSpec
from harness.worker.script_backend.hook_recorder import HookRecorder
from harness.worker.torch_backend import settings

PROCESS_HOOKS = ExitStack()  # of hooks that stay until the process ends


def apply_and_log(spec: RunSpec, folder: Path, repeat: int) -> None:
    """In a process that the scenario starts: the setting, and the window's operations from then on.

    What such a process does is the scenario's own, so it is seen from outside, as a script is.
    """
    settings.apply(spec.determinism)

    def write() -> None:
        rank = torch.distributed.get_rank()
        path = op_log.log_path(folder, spec.run_id, repeat, rank)
        op_log.write(path, logged.log(spec.run_id))

    assert spec.window is not None
    logged = HookRecorder(spec.window, at_end=write)
    PROCESS_HOOKS.enter_context(logged.install())
