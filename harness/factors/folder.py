"""The path of the folder in which a script runs, and its length."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from harness.core.private_folder import private_folder
from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, Start

# Characters of the longest folder for temporary files: a socket below it may have 107 in all, and
# multiprocessing adds about 35 of its own.
LONGEST = 64
PREFIX = "harness-path-"
ROOM = 40  # characters of the folder itself, with the ID of a process


@contextmanager
def _long_path() -> Iterator[Start]:
    with private_folder(PREFIX) as folder:
        inner = folder / "longer".ljust(LONGEST - len(str(folder)) - 1, "-")
        inner.mkdir()
        yield Start(variables={"TMPDIR": str(inner)})  # where each run's copy is made


def _levels(_: Cell) -> list[Level]:
    return [Level("long", "a longer path", start=_long_path)]


def _missing(cell: Cell) -> str:
    if cell.scenario.framework != "script":
        return "only scripts run in a copied folder"
    is_long = len(tempfile.gettempdir()) > LONGEST - ROOM
    return "TMPDIR has a long path already" if is_long else ""


def _read() -> str:
    return f"{len(tempfile.gettempdir())} characters"


FOLDER = Factor("folder", "folder path", Group.surroundings, _levels, _read, _missing)
