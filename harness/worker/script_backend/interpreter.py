"""Runs a script as Python does: its folder is first in sys.path, its arguments in sys.argv."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import process as process_pools
from concurrent.futures import thread as thread_pools
from contextlib import contextmanager
from pathlib import Path

from harness.core.errors import ProcessReplaced
from harness.core.spec import RunSpec, Scenario
from harness.worker.hashing import forget_pool
from harness.worker.script_backend.children import apply_in_children
from harness.worker.script_backend.early_variables import honor_early_variables
from harness.worker.script_backend.main_module import main_module, run_module, run_path
from harness.worker.script_backend.output import own_streams
from harness.worker.script_backend.own_package import hide_harness
from harness.worker.script_backend.program import program_name
from harness.worker.script_backend.replacement import follow_exec
from harness.worker.script_backend.sandbox import Sandbox


def run_program(spec: RunSpec, sandbox: Sandbox) -> None:
    """Run the script to its end. Raises RuntimeError if it exits with a status other than 0."""
    scenario = spec.cell.scenario
    module = str(scenario.options["module"]) if scenario.options["module"] else None
    arguments = [str(argument) for argument in scenario.options["args"]]
    path = sandbox.path_in_copy(_original_path(scenario, sandbox))
    program = ["-m", module] if module else [_typed_path(scenario, path)]
    process, status = os.getpid(), 0
    try:
        with (
            own_streams(),
            apply_in_children(spec.determinism),
            _as_started(program, arguments, sandbox.folder if module else path.parent),
            main_module() as main,
            follow_exec(path, module, arguments),
            _end_as_interpreter(),
            honor_early_variables(),
        ):
            if module:
                run_module(module, main)
            else:
                run_path(path, main)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if status:
            message = f"{program_name(scenario)} raised SystemExit({error.code!r})"
            raise RuntimeError(message) from error
    finally:
        if os.getpid() != process:  # a child that the script forked and that did not exit
            os._exit(status)


def _original_path(scenario: Scenario, sandbox: Sandbox) -> Path:
    """Resolve the path against the original folder; the working directory is the sandbox."""
    path = scenario.options["path"]
    return (sandbox.original / Path(str(path)).expanduser()).resolve() if path else sandbox.folder


def _typed_path(scenario: Scenario, path: Path) -> str:
    """The script's path as the user typed it, if that leads to the copy, else its absolute path."""
    typed = Path(str(scenario.options["path"]))
    return str(typed) if typed.exists() and not typed.is_absolute() else str(path)


@contextmanager
def _end_as_interpreter() -> Iterator[None]:
    """Do at the script's end what Python does at its own: wait for threads, call exit handlers.

    An exec does neither, and a child that the script forked is not the script.
    """
    process, before, is_replaced = os.getpid(), set(threading.enumerate()), False
    try:
        yield
    except ProcessReplaced:
        is_replaced = True
        raise
    finally:
        if os.getpid() == process and not is_replaced:
            _end_pools()
            for thread in threading.enumerate():
                if thread not in before and not thread.daemon:
                    thread.join()
            atexit._run_exitfuncs()


def _end_pools() -> None:
    """End the executors that the script left, whose threads wait for work until Python tells them.

    The harness's own pool ends with them, and a new one may start.
    """
    for end_pools in reversed(threading._threading_atexits):  # type: ignore[attr-defined]
        end_pools()
    thread_pools._shutdown = False
    process_pools._global_shutdown = False
    forget_pool()


@contextmanager
def _as_started(program: list[str], arguments: list[str], first: Path) -> Iterator[None]:
    """Give the script the arguments and the module path that Python would; ``first`` leads it."""
    before = sys.argv, sys.orig_argv, sys.path
    sys.argv = [program[-1], *arguments]
    sys.orig_argv = [sys.executable, *program, *arguments]
    try:
        with hide_harness(first):
            sys.path = [str(first), *sys.path]
            yield
    finally:
        sys.argv, sys.orig_argv, sys.path = before
