"""The time of day, shifted for one process and its children."""

from __future__ import annotations

import time
from pathlib import Path

from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, variables
from harness.factors.preload import compiled, why_not_compiled

HOUR_S, DAY_S = 3600, 86_400
# Another hour of the day and another day of the week, too.
LEVELS = {
    "ahead": (10 * DAY_S + 7 * HOUR_S, "the clock 10 days and 7 hours ahead"),
    "behind": (-400 * DAY_S - 5 * HOUR_S, "the clock 400 days and 5 hours behind"),
}


def _levels(_: Cell) -> list[Level]:
    library = compiled("clock")
    return [
        Level(name, what, start=variables(LD_PRELOAD=library, HARNESS_CLOCK_SHIFT_S=str(shift_s)))
        for name, (shift_s, what) in LEVELS.items()
    ]


def _missing(_: Cell) -> str:
    return why_not_compiled("clock")


def _read() -> str:
    """Compare the clock with the time since the machine was started, which nothing shifts."""
    lines = Path("/proc/stat").read_text().split("\n")
    booted = next(int(line.split()[1]) for line in lines if line.startswith("btime"))
    uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    return f"{round((time.time() - booted - uptime_s) / HOUR_S)} hours ahead"


CLOCK = Factor("clock", "clock", Group.surroundings, _levels, _read, _missing)
