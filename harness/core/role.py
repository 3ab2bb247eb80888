"""Why a cell is part of a study."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    asked = "asked"
    baseline = "baseline"  # added as the reference for costs
    control = "control"  # added to show that the study can detect a difference
    evidence = "evidence"  # requested by a claim that no cost decides, so not timed


UNTIMED = (Role.control, Role.evidence)
