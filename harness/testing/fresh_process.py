"""One program in one fresh interpreter that finds what its parent finds, under a setting."""

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
# -P and this: modules are looked for where the parent looks, neither here nor elsewhere first.
START = "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "


def run(
    program: str, words: Sequence[str], determinism: Determinism, folder: Path, timeout_s: float
) -> int:
    """Gives the exit status; what was printed is in the folder's ``log``.

    Raises TimeoutError, with all stacks of the process, when the time is over. Whatever ends the
    wait, no process of the run is left.
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
                *words,
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**_environment(determinism), IN_RUN: str(folder)},
            start_new_session=True,  # to be ended with all that it has started
        )
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired as error:
        process.send_signal(signal.SIGABRT)  # faulthandler answers with all stacks
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(DUMP_LIMIT_S)
        raise TimeoutError(f"not done after {timeout_s:g} s\n{printed(folder)}") from error
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _environment(determinism: Determinism) -> dict[str, str]:
    """The caller's, but for what a setting can set: that is the setting's alone."""
    variables = determinism.variables()
    kept = {name: value for name, value in os.environ.items() if name not in variables}
    return {**kept, **determinism.environment()}


def printed(folder: Path) -> str:
    return (folder / "log").read_text(encoding="utf-8", errors="replace").strip()
