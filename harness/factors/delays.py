"""Random delays of threads at the start of each parallel region, which reorder what they do."""

from __future__ import annotations

import ctypes

from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, variables
from harness.factors.preload import compiled, why_not_compiled


def _levels(_: Cell) -> list[Level]:
    start = variables(LD_PRELOAD=compiled("delays"))
    return [Level("random", "random delays of threads", start=start)]


def _missing(_: Cell) -> str:
    return why_not_compiled("delays")


def _read() -> str:
    try:
        regions = ctypes.c_long.in_dll(ctypes.CDLL(None), "harness_delayed_regions").value
    except ValueError:  # not loaded
        regions = 0
    return "delays" if regions else "none"


DELAYS = Factor("delays", "thread delays", Group.schedule, _levels, _read, _missing)
