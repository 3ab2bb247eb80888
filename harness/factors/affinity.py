"""Which cores the threads may use, whose number stays the same."""

from __future__ import annotations

from contextlib import nullcontext

from harness.core.cores import usable_cores
from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, Start, refusal


def _levels(cell: Cell) -> list[Level]:
    usual = str(cell.determinism.threads or len(usable_cores()))
    # or OpenMP and MKL would start as many threads as there are cores left
    threads = {"OMP_NUM_THREADS": usual, "MKL_NUM_THREADS": usual, "MKL_DYNAMIC": "FALSE"}
    start = Start(("taskset", "--cpu-list", str(usable_cores()[0])), threads)
    return [Level("one-core", f"{usual} threads on one core", start=lambda: nullcontext(start))]


def _missing(cell: Cell) -> str:
    if len(usable_cores()) == 1:
        return "there is only one core"
    if cell.scenario.framework == "script" and cell.scenario.options["processes"] > 1:
        return "every rank has one thread"
    return refusal("taskset", "--cpu-list", str(usable_cores()[0]), package="util-linux")


def _read() -> str:
    return f"{len(usable_cores())} cores"


AFFINITY = Factor("affinity", "CPU affinity", Group.alone, _levels, _read, _missing)
