"""The time of day, shifted by libfaketime for one process and its children."""

from __future__ import annotations

import time
from pathlib import Path

from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, variables

DAY_S = 86_400
LIBRARIES = tuple(
    f"/usr/{folder}/faketime/{name}"  # MT: for programs with threads
    for name in ("libfaketimeMT.so.1", "libfaketime.so.1")
    for folder in ("lib/*", "lib64", "local/lib")
)
LEVELS = {"ahead": "+10d", "behind": "-400d"}


def _levels(_: Cell) -> list[Level]:
    return [
        Level(
            name,
            f"the clock at {shift.replace('d', ' days')}",
            start=variables(
                LD_PRELOAD=_library(),
                FAKETIME=shift,
                DONT_FAKE_MONOTONIC="1",  # which measures durations
                NO_FAKE_STAT="1",  # files keep their times
                FAKETIME_DISABLE_SHM="1",  # it would be left behind by a killed run
            ),
        )
        for name, shift in LEVELS.items()
    ]


def _library() -> str:
    found = (str(path) for pattern in LIBRARIES for path in Path("/").glob(pattern[1:]))
    return next(found, "")


def _missing(_: Cell) -> str:
    return "" if _library() else "libfaketime is not installed (Debian: package faketime)"


def _read() -> str:
    """Compare the clock with the time since the machine was started, which nothing shifts."""
    lines = Path("/proc/stat").read_text().split("\n")
    booted = next(int(line.split()[1]) for line in lines if line.startswith("btime"))
    uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    return f"{round((time.time() - booted - uptime_s) / DAY_S)} days ahead"


CLOCK = Factor("clock", "clock", Group.surroundings, _levels, _read, _missing)
