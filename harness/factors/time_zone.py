"""The time zone."""

from __future__ import annotations

import time

from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, variables


def _levels(_: Cell) -> list[Level]:
    # POSIX counts hours to the west; such a zone needs no files
    return [
        Level("east", "the time zone UTC+14", start=variables(TZ="EAST-14")),
        Level("west", "the time zone UTC-11", start=variables(TZ="WEST+11")),
    ]


def _read() -> str:
    return f"{-time.timezone / 3600:g} h"


TIME_ZONE = Factor("time_zone", "time zone", Group.surroundings, _levels, _read)
