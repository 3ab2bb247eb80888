"""Switches that a program has set itself: their values in effect are not the requested ones."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from harness.core.record import RunRecord
from harness.core.spec import Determinism


@lru_cache
def _requested(setting: Determinism) -> tuple[tuple[str, object], ...]:
    return tuple((name, value) for name, value in setting.switches().items() if value is not None)


def overridden_switches(run: RunRecord) -> dict[str, tuple[Any, Any]]:
    """Return the requested value and that at the end of the run, by switch, where they differ.

    A seed counts only if the setting seeds torch, whose seed is the one that can be read back.
    """
    setting = run.spec.determinism
    return {
        name: (value, run.effective[name])
        for name, value in _requested(setting)
        if name in run.effective
        and run.effective[name] != value
        and (name != "seed" or setting.seeds.torch)
    }
