"""The size of the environment, which shifts the stack (Mytkowicz et al., ASPLOS 2009)."""

from __future__ import annotations

import os

from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, variables

NAME = "HARNESS_PADDING"
PADDING = 10_007  # bytes; odd, so that alignment changes too


def _levels(_: Cell) -> list[Level]:
    return [Level("large", "a larger environment", start=variables(**{NAME: "x" * PADDING}))]


def _read() -> str:
    return f"{len(os.environ.get(NAME, ''))} bytes more"


ENVIRONMENT_SIZE = Factor(
    "environment_size", "size of the environment", Group.surroundings, _levels, _read
)
