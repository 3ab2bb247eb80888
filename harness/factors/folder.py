"""The path of the folder in which a script runs, and its length."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, Start

LONG = "a-much-longer-path-than-usual" * 3


@contextmanager
def _long_path() -> Iterator[Start]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        inner = Path(folder) / LONG
        inner.mkdir()
        yield Start(variables={"TMPDIR": str(inner)})  # where each run's copy is made


def _levels(_: Cell) -> list[Level]:
    return [Level("long", "a longer path", start=_long_path)]


def _missing(cell: Cell) -> str:
    return "" if cell.scenario.framework == "script" else "only a script runs in a copy of its own"


def _read() -> str:
    return f"{len(tempfile.gettempdir())} characters"


FOLDER = Factor("folder", "path of the folder", Group.surroundings, _levels, _read, _missing)
