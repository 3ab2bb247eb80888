"""Runs a script as Python would: its folder first on the path, its arguments in sys.argv."""

from __future__ import annotations

import importlib.util
import os
import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from harness.core.errors import UsageError
from harness.core.spec import Scenario
from harness.worker.script_backend.sandbox import Sandbox


def program_path(scenario: Scenario) -> Path:
    """The file of the script or module. Raises UsageError where there is none, or two are named."""
    path, module = scenario.options["path"], scenario.options["module"]
    if (path is None) == (module is None):
        raise UsageError(
            "a script is named by scenario.path=train.py or by "
            "scenario.module=package.train, one of them"
        )
    found = Path(str(path)).expanduser() if path else _module_file(str(module))
    if not found.is_file():
        raise UsageError(
            f"scenario.path={path}: no such file here; give the "
            "script's path relative to where the command is typed"
        )
    return found.resolve()


def _module_file(module: str) -> Path:
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = importlib.util.find_spec(module)
        if found is not None and found.submodule_search_locations is not None:
            found = importlib.util.find_spec(f"{module}.__main__")
    except ImportError:
        found = None
    finally:
        sys.path.pop(0)
    if found is None or found.origin is None:
        raise UsageError(
            f"scenario.module={module}: no such module here; it is looked for as by "
            "`python -m`, from the folder where the command is typed"
        )
    return Path(found.origin)


def program_name(scenario: Scenario) -> str:
    return str(scenario.options["path"] or scenario.options["module"])


def run_program(scenario: Scenario, place: Sandbox) -> None:
    """To its end. A ``sys.exit`` with anything but 0 or None becomes a RuntimeError."""
    module = scenario.options["module"]
    arguments = [str(one) for one in scenario.options["args"]]
    path = place.path_in_copy(_original_path(scenario, place))
    process = os.getpid()
    try:
        with _as_main(path, place.folder if module else path.parent, arguments):
            if module:
                runpy.run_module(str(module), run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(str(path), run_name="__main__")
    except SystemExit as end:
        if end.code not in (None, 0):
            raise RuntimeError(f"{program_name(scenario)} ended by sys.exit({end.code!r})") from end
    finally:
        if os.getpid() != process:  # a child that the script forked and let run on to its end
            os._exit(0)


def _original_path(scenario: Scenario, place: Sandbox) -> Path:
    """The original's path; the copy is the working directory by now."""
    path = scenario.options["path"]
    return (place.original / Path(str(path)).expanduser()).resolve() if path else place.folder


@contextmanager
def _as_main(path: Path, first: Path, arguments: list[str]) -> Iterator[None]:
    before = sys.argv, sys.path[:]
    sys.argv, sys.path = [str(path), *arguments], [str(first), *sys.path]
    try:
        with _hide_harness(first):
            yield
    finally:
        sys.argv, sys.path = before


@contextmanager
def _hide_harness(folder: Path) -> Iterator[None]:
    """A package of the project's own that is named ``harness`` stands in for ours meanwhile."""
    if not (folder / "harness").is_dir() and not (folder / "harness.py").is_file():
        yield
        return
    ours = _unload("harness")
    try:
        yield
    finally:
        _unload("harness")
        sys.modules.update(ours)


def _unload(package: str) -> dict[str, ModuleType]:
    """Removes a package from the loaded modules and returns what was removed."""
    names = [name for name in sys.modules if name.partition(".")[0] == package]
    return {name: sys.modules.pop(name) for name in names}
