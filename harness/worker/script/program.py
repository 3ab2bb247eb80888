"""Runs a script as Python would: its folder first on the path, its arguments in sys.argv."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import UsageError
from harness.spec import Scenario


def source(scenario: Scenario) -> Path:
    """Raises UsageError where there is no such file."""
    path = Path(str(scenario.options["path"])).expanduser()
    if not path.is_file():
        raise UsageError(f"scenario.path={scenario.options['path']}: no such file here; give the "
                         "script's path relative to where the command is typed")  # fmt: skip
    return path.resolve()


def run(scenario: Scenario) -> None:
    """To its end. A ``sys.exit`` with anything but 0 or None becomes a RuntimeError."""
    path = source(scenario)
    arguments = [str(one) for one in scenario.options["args"]]
    try:
        with as_main(path, arguments):
            runpy.run_path(str(path), run_name="__main__")
    except SystemExit as end:
        if end.code not in (None, 0):
            raise RuntimeError(f"{path.name} ended by sys.exit({end.code!r})") from end


@contextmanager
def as_main(path: Path, arguments: list[str]) -> Iterator[None]:
    """Names of ours that a script may have too are taken out of its way."""
    before = sys.argv, sys.path[:]
    ours = {name: one for name, one in sys.modules.items() if name.split(".")[0] == "scenarios"}
    for name in ours:
        del sys.modules[name]
    sys.argv, sys.path = [str(path), *arguments], [str(path.parent), *sys.path]
    try:
        yield
    finally:
        sys.argv, sys.path = before
        sys.modules.update(ours)
