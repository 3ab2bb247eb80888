"""Another rank of a script: the same setting and program, seen only where its operations count."""

from __future__ import annotations

import json
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from harness.core import op_log
from harness.core.spec import Kind, RunSpec
from harness.worker.pipe import die_with_parent
from harness.worker.script_backend.hook_recorder import HookRecorder
from harness.worker.script_backend.program import run_program
from harness.worker.script_backend.sandbox import Sandbox
from harness.worker.torch_backend import settings


def main() -> None:
    die_with_parent()
    asked = json.load(sys.stdin)
    spec = RunSpec.from_json(asked["spec"])
    place = Sandbox(Path(asked["original"]), Path(asked["copy"]))
    settings.apply(spec.determinism)
    is_logged = spec.kind is Kind.operations
    with _record_log(spec, asked["folder"]) if is_logged else nullcontext():
        run_program(spec.cell.scenario, place)
    sys.stdout.flush()
    os._exit(0)  # unloading torch would keep rank 0 waiting


def _record_log(spec: RunSpec, folder: str) -> AbstractContextManager[None]:
    assert spec.window is not None

    def write() -> None:
        path = op_log.log_path(Path(folder), spec.run_id, 1, int(os.environ["RANK"]))
        op_log.write(path, found.log(spec.run_id))

    found = HookRecorder(spec.window, at_end=write)
    return found.install()


if __name__ == "__main__":
    main()
