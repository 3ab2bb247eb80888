"""The cores that this process may use."""

from __future__ import annotations

import os

CAN_PIN = hasattr(os, "sched_setaffinity")  # macOS has no such call


def usable_cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if CAN_PIN else list(range(os.cpu_count() or 1))
