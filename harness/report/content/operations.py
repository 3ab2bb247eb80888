"""The answers of a study of single operations, whose cells have tables of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from harness.analysis.first_calls import SCENARIO as FIRST_CALLS
from harness.analysis.study_data import StudyData
from harness.report.format import join_words, percent, plural
from harness.report.tables.tables import Tables

NAMED = 6  # operations in one sentence


def operation_cells(study: StudyData, tables: Tables) -> set[str]:
    """Return the ids of the cells that the audit or the table of first calls describes."""
    described = set()
    if not tables.audit.empty:
        described.add("atomics")
    if not tables.first_calls.empty:
        described.add(FIRST_CALLS)
    return {cell.id for cell in study.cells if cell.cell.scenario.name in described}


def operation_sentences(tables: Tables) -> Iterator[tuple[str, str]]:
    """Yield what was asked and the answer, for the audit of each device and for first calls."""
    if not tables.audit.empty:
        for device, rows in tables.audit.groupby("device"):
            yield f"audit on {device}", audit_sentence(rows)
    if not tables.first_calls.empty:
        for setting, rows in tables.first_calls.groupby("determinism"):
            yield f"first calls, {setting}", first_calls_sentence(rows)


def audit_sentence(rows: pd.DataFrame) -> str:
    """Say which operations of the audit vary, and what deterministic algorithms change."""
    varies = rows["operation"][rows["bits"].str.startswith(("varies", "rarely"))]
    still = rows["operation"][rows["bits_full"].str.startswith(("varies", "rarely"))]
    refused = (rows["alert"] == "refuses").sum()
    contradicted = (rows["disagree"] != "").sum()
    verb = "is" if refused == 1 else "are"
    return (
        f"{len(varies)} of {plural(len(rows), 'operation')} vary with seeds alone"
        f"{_names(varies)}; under deterministic algorithms {len(still) or 'none'}{_names(still)}, "
        f"and {refused} {verb} refused. Documentation, alert and bits contradict each other for "
        f"{contradicted}."
    )


def first_calls_sentence(rows: pd.DataFrame) -> str:
    """Say which operations return other bits in the first call of some processes."""
    hit = rows[rows["differ"] > 0]
    others = rows[rows["differ"] == 0]
    counts = [
        f"`{row['operation']}` ({row['differ']} of {row['processes']})"
        for row in hit.to_dict("records")
    ]
    more = [f"{len(counts) - NAMED} more"] if len(counts) > NAMED else []
    parts = []
    if counts:
        parts.append(
            f"the first call of a process has other bits than the second for {len(hit)} of "
            f"{plural(len(rows), 'operation')}: {join_words(counts[:NAMED] + more)}"
        )
    if not others.empty:
        fewest = int(others["processes"].min())
        highest = 1 - 0.05 ** (1 / fewest)  # one-sided Clopper–Pearson
        parts.append(
            f"no difference was seen for {plural(len(others), 'operation')}, in {fewest} forks "
            f"each (at most {percent(highest)} of such forks have one, at 95 % confidence)"
        )
    return f"{'; '.join(parts)}."


def _names(operations: pd.Series[str]) -> str:
    """The first operations in brackets; a report lists them all further down."""
    if operations.empty:
        return ""
    words = [f"`{name}`" for name in operations[:NAMED]]
    more = len(operations) - NAMED
    return f" ({', '.join(words)}{f' and {more} more' if more > 0 else ''})"
