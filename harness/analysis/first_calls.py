"""The table of first calls: how often an operation's first call in a process has other bits."""

from __future__ import annotations

from typing import Any

import pandas as pd
import scipy  # which loads scipy.stats when it is first used

from harness.analysis.study_data import CellData, StudyData
from harness.core.binomial import LEVEL

SCENARIO = "first_op"


def first_calls_table(study: StudyData) -> pd.DataFrame:
    """Return a row for each operation and setting of the scenario ``first_op``; else empty.

    ``rate_low`` and ``rate_high`` are the two-sided 95 % Clopper–Pearson interval of the share of
    processes whose first call has other bits than the second. Operations that are hit come first.
    """
    rows = [
        _row(cell)
        for cell in study.cells
        if cell.cell.scenario.name == SCENARIO and cell.same_as is None and cell.completed
    ]
    rows.sort(key=lambda row: -row["differ"])
    return pd.DataFrame(rows)


def _row(cell: CellData) -> dict[str, Any]:
    facts = [repeat.facts for _, repeat in cell.trainings()]
    processes = sum(fact["processes"] for fact in facts)
    differ = sum(fact["differ"] for fact in facts)
    interval = scipy.stats.binomtest(differ, processes).proportion_ci(LEVEL)
    return {
        "operation": facts[0]["op"],
        "determinism": cell.cell.setting,
        "threads": cell.completed[0].threads,
        "processes": processes,
        "differ": differ,
        "rate_low": interval.low,
        "rate_high": interval.high,
        "elements": max(fact["elements"] for fact in facts),
        "max_ulp": max(fact["ulp"] for fact in facts),
    }
