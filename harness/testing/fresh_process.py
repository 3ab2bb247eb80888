"""A program in a fresh interpreter with the parent's import path, under a determinism setting."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.core.leaf_file import IN_RUN
from harness.core.spec import Determinism

DUMP_LIMIT_S = 2.0
# Together with -P, this makes imports resolve exactly as in the parent: without it, the current
# folder comes first.
START = "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "


def run(
    program: str, arguments: Sequence[str], determinism: Determinism, folder: Path, timeout_s: float
) -> int:
    """Run the program and return its exit status; its output goes to ``log`` in the folder.

    Raises TimeoutError, with the stacks of all threads, after ``timeout_s`` seconds. No process of
    the run outlives the call.
    """
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                "-X",
                "faulthandler",
                "-P",
                "-c",
                START + program,
                json.dumps(sys.path),
                *arguments,
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**_environment(determinism), IN_RUN: str(folder)},
            start_new_session=True,  # so that killpg reaches every process the run starts
        )
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired as error:
        process.send_signal(signal.SIGABRT)  # makes faulthandler dump the stacks of all threads
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(DUMP_LIMIT_S)
        raise TimeoutError(f"timed out after {timeout_s:g} s\n{printed(folder)}") from error
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _environment(determinism: Determinism) -> dict[str, str]:
    """The caller's environment, with every variable a setting controls replaced by the setting's.

    Controlled variables that this setting does not define are removed.
    """
    controlled = determinism.variables()
    inherited = {name: value for name, value in os.environ.items() if name not in controlled}
    return {**inherited, **determinism.environment()}


def printed(folder: Path) -> str:
    """Return what the run printed."""
    return (folder / "log").read_text(encoding="utf-8", errors="replace").strip()
