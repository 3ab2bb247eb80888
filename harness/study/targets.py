"""The same study on several kinds of node: one study for each target, side by side in one folder::

results/<id>/targets.json   the command of each target
             a100/          an ordinary study
             h100/
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from harness.core.command_line import override, split_words
from harness.core.errors import UsageError
from harness.core.exit_codes import DONE, FAILED, INTERRUPTED
from harness.core.files import write_json
from harness.core.paths import IMPORT_ROOT, RESULTS
from harness.core.protocol import module_command
from harness.study.request import Request

TARGETS = "targets.json"
RAY_OWN = ("CPU", "GPU", "memory", "object_store_memory")  # resources that are no kind of node
RAY_SHARE = 0.001  # of a node's custom resource, so that it chooses the node and limits nothing


def targets_in(folder: Path) -> list[Path]:
    """The studies of a folder that holds one for each target; empty if it is no such folder."""
    return [folder / name for name in _commands_in(folder)]


def _commands_in(folder: Path) -> dict[str, list[str]]:
    with suppress(OSError, ValueError, TypeError):
        return dict(json.loads((folder / TARGETS).read_text()))
    return {}


def has_begun(study: Path) -> bool:
    """Whether a target's study has a manifest."""
    return (study / "manifest.json").exists()


def named_targets(words: Sequence[str]) -> list[Path]:
    """The studies of the one folder that is named, if it holds targets."""
    return targets_in(Path(words[0])) if len(words) == 1 else []


def with_targets(words: Sequence[str]) -> list[str]:
    """The folders that are named, with its studies in place of one that holds targets."""
    return [str(study) for word in words for study in targets_in(Path(word)) or [Path(word)]]


def run(request: Request, words: Sequence[str]) -> tuple[Path, int]:
    """Runs the study on each target at once. Returns the common folder and the worst status.

    Raises UsageError if the engine has no targets, or the folder holds anything else.
    """
    targets = request.launch.targets
    if not request.launch.on_cluster:
        raise UsageError("launch.targets names kinds of node of a cluster: add launch=slurm or ray")
    if len({*targets}) != len(targets) or len(targets) < 2 or not all(map(_is_name, targets)):
        raise UsageError(
            f"launch.targets={list(targets)}: must be two or more different names of letters, "
            f"digits, - and _; not {', '.join(RAY_OWN)}"
        )
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-targets-{secrets.token_hex(2)}"
    folder = Path(request.study.dir or RESULTS / name)
    known = [path.name for path in targets_in(folder)]
    if folder.exists() and known != targets:
        raise UsageError(f"study.dir={folder} exists; choose a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    commands = {target: _words_for(request, words, target, folder / target) for target in targets}
    write_json(folder / TARGETS, commands)
    status = _run_together(commands)
    if not any(path.exists() for path in targets_in(folder)):  # all were refused
        (folder / TARGETS).unlink()
        folder.rmdir()
    return folder, status


def resume(folder: Path) -> int:
    """Completes each target's study, or begins it."""
    commands = _commands_in(folder)
    for target in commands:
        if has_begun(folder / target):
            commands[target] = ["resume", str(folder / target)]
    return _run_together(commands)


def _is_name(target: str) -> bool:
    return target not in RAY_OWN and target.replace("-", "").replace("_", "").isalnum()


def _words_for(request: Request, words: Sequence[str], target: str, study: Path) -> list[str]:
    """The command of one target, in its engine's words."""
    own, program = split_words(words)
    kept = [word for word in own if not word.startswith("study.dir=")]
    if request.launch.engine == "slurm":
        constraint = "&".join(filter(None, [request.launch.slurm.constraint, target]))
        choice = override("launch.slurm.constraint", constraint)
    else:
        choice = f"++launch.ray.resources.{target}={RAY_SHARE}"
    folder = override("study.dir", str(study))
    return [*kept, choice, "launch.targets=[]", folder, *program]


def _run_together(commands: Mapping[str, Sequence[str]]) -> int:
    """Runs the commands side by side, with their targets' names before what they print."""
    path = os.pathsep.join([str(IMPORT_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    processes = {
        target: subprocess.Popen(
            module_command("harness", *words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        for target, words in commands.items()
    }
    readers = [
        threading.Thread(target=_prefix_lines, args=(target, process))
        for target, process in processes.items()
    ]
    for reader in readers:
        reader.start()

    def end(signum: int, _: object) -> None:
        for process in processes.values():
            process.send_signal(signum)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, lambda *_: None)  # a terminal interrupts all of them
    for reader in readers:
        reader.join()
    statuses = [process.wait() for process in processes.values()]
    if INTERRUPTED in statuses:
        return INTERRUPTED
    return max((FAILED if status < 0 else status for status in statuses), default=DONE)  # killed


def _prefix_lines(target: str, process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        print(f"{target}: {line}", end="", flush=True)
    if process.poll() not in (None, DONE):
        print(f"{target}: ended with status {process.poll()}", file=sys.stderr)
