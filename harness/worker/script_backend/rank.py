"""A rank of a script other than rank 0: it records operations and digests only its final state."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from harness.core import op_log
from harness.core.errors import ProcessReplaced
from harness.core.files import write_json
from harness.core.protocol import module_command
from harness.core.spec import Kind, RunSpec
from harness.factors.catalog import inside
from harness.worker.pipe import die_with_parent
from harness.worker.script_backend.final_state import describe_rank
from harness.worker.script_backend.interpreter import run_program
from harness.worker.script_backend.sandbox import Sandbox
from harness.worker.torch_backend import settings
from harness.worker.torch_backend.hook_recorder import HookRecorder
from harness.worker.torch_backend.hooks import TrainingHooks

RANK = "harness.worker.script_backend.rank"  # this module


def main() -> None:
    """Does what this process's argument asks for: a JSON document of ``torchrun.start_group``."""
    die_with_parent()
    request = json.loads(sys.argv[1])
    try:
        _run(request)
    except ProcessReplaced as replaced:
        again = module_command(RANK, sys.argv[1])
        os.execve(again[0], again, replaced.variables)  # noqa: S606 - as the script has asked for
    sys.stdout.flush()
    os._exit(0)  # unloading torch would keep rank 0 waiting


def _run(request: dict[str, Any]) -> None:
    spec = RunSpec.from_json(request["spec"])
    sandbox = Sandbox(Path(request["original"]), Path(request["copy"]))
    with inside(spec.cell):
        settings.apply(spec.determinism)
        if spec.kind is Kind.operations:
            recorder = _log_recorder(spec, Path(request["logs"]))
            observer, hooks = recorder.install(), recorder.hooks
        else:
            hooks = TrainingHooks()
            observer = hooks.install()
        with observer:
            run_program(spec, sandbox)
    write_json(Path(request["answers"]) / f"{os.environ['RANK']}.json", describe_rank(hooks))


def _log_recorder(spec: RunSpec, folder: Path) -> HookRecorder:
    assert spec.window is not None

    def write() -> None:
        path = op_log.log_path(folder, spec.run_id, 1, int(os.environ["RANK"]))
        op_log.write(path, recorder.log(spec.run_id))

    recorder = HookRecorder(spec.window, at_end=write)
    return recorder


if __name__ == "__main__":
    main()
