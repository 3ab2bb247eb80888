"""Whether idle OpenMP threads spin or sleep until the next parallel region."""

from __future__ import annotations

import os

from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, variables, without_torch


def _levels(_: Cell) -> list[Level]:
    return [
        Level("passive", "idle threads asleep", start=variables(OMP_WAIT_POLICY="passive")),
        Level("active", "idle threads spinning", start=variables(OMP_WAIT_POLICY="active")),
    ]


def _read() -> str:
    return os.environ.get("OMP_WAIT_POLICY", "undefined")


WAIT_POLICY = Factor(
    "wait_policy", "OpenMP wait policy", Group.schedule, _levels, _read, without_torch
)
