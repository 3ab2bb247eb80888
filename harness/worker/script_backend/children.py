"""Processes that a script spawns by ``multiprocessing`` get its determinism setting too.

A forked child inherits the setting. A spawned one is a new interpreter, which imports the script
and would train with torch's defaults.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import spawn, util
from pathlib import Path
from typing import Any

from harness.core.spec import Determinism, to_json
from harness.worker.patch import patched
from harness.worker.script_backend.own_package import hide_harness
from harness.worker.torch_backend import settings

PROGRAM = "from {module} import main; main({setting!r}, {channels!r})"


@contextmanager
def apply_in_children(setting: Determinism) -> Iterator[None]:
    """Apply the setting in every child that is spawned in this context, before it imports."""

    def command_line(**channels: Any) -> list[str]:
        program = PROGRAM.format(
            module=__name__, setting=json.dumps(to_json(setting)), channels=channels
        )
        flags = util._args_from_interpreter_flags()  # type: ignore[attr-defined]
        return [spawn.get_executable(), *flags, "-c", program, "--multiprocessing-fork"]

    with patched(spawn, "get_command_line", lambda _: command_line):
        yield


def main(setting: str, channels: dict[str, Any]) -> None:
    """The program of a spawned child."""
    settings.apply(Determinism.from_json(json.loads(setting)))
    with hide_harness(Path.cwd()):
        spawn.spawn_main(**channels)
