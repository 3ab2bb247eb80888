"""Why a cell is part of a study."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    asked = "asked"
    baseline = "baseline"  # added, so that a cost has something to be measured against
    control = "control"  # added, so that a study shows that it can find a difference
    evidence = "evidence"  # asked for by a claim that no cost decides, and so not timed


UNTIMED = (Role.control, Role.evidence)
