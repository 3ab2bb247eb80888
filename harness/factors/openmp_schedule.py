"""How OpenMP shares the rounds of a loop among threads, if the loop leaves it to the user."""

from __future__ import annotations

import ctypes

from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, variables, without_torch

NAMES = {1: "static", 2: "dynamic", 3: "guided", 4: "auto"}  # omp_sched_t
MONOTONIC = 0x80000000  # a flag of the same number


def _levels(_: Cell) -> list[Level]:
    return [
        Level(name, f"the OpenMP schedule {name}", start=variables(OMP_SCHEDULE=schedule))
        for name, schedule in (("static", "static"), ("guided", "guided,7"))
    ]


def _read() -> str:
    """Ask the library that torch computes with."""
    kind, chunk = ctypes.c_uint(), ctypes.c_int()
    ctypes.CDLL(None).omp_get_schedule(ctypes.byref(kind), ctypes.byref(chunk))
    return f"{NAMES.get(kind.value & ~MONOTONIC, kind.value)},{chunk.value}"


OPENMP_SCHEDULE = Factor(
    "openmp_schedule", "OpenMP schedule", Group.schedule, _levels, _read, without_torch
)
