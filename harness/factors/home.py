"""The home folder, with the caches and configuration files of libraries: here an empty one."""

from __future__ import annotations

import os
import site
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.core.private_folder import private_folder
from harness.core.redact import REAL_HOME
from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, Start

PREFIX = "harness-home-"


@contextmanager
def _empty_home() -> Iterator[Start]:
    with private_folder(PREFIX) as folder:
        packages = {"PYTHONUSERBASE": site.getuserbase()}  # that the user has installed
        yield Start(variables={"HOME": str(folder), REAL_HOME: str(Path.home()), **packages})


def _levels(_: Cell) -> list[Level]:
    return [Level("empty", "an empty home folder", start=_empty_home)]


def _read() -> str:
    is_ours = Path(os.environ.get("HOME", "")).name.startswith(PREFIX)
    return "empty" if is_ours else "the user's"


HOME = Factor("home", "home folder", Group.surroundings, _levels, _read)
