"""The locale: how text files are decoded, and how C libraries write numbers."""

from __future__ import annotations

import locale
from pathlib import Path

from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, variables


def _levels(_: Cell) -> list[Level]:
    # Or Python would choose UTF-8 in place of ASCII. What a program prints is no result.
    ascii_only = variables(
        LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="utf-8"
    )
    return [Level("ascii", "the locale C, and ASCII for files", start=ascii_only)]


def _missing(cell: Cell) -> str:
    """Under this locale, Python cannot open what the harness has named in UTF-8."""
    typed = (Path.cwd(), *cell.scenario.options.values())
    return "" if str(typed).isascii() else "a path or an argument is not ASCII"


def _read() -> str:
    return locale.getencoding()


LOCALE = Factor("locale", "locale", Group.surroundings, _levels, _read, _missing)
