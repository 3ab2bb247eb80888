"""One sentence per scenario: which settings gave identical runs, and what they cost."""

from __future__ import annotations

from typing import Any

import pandas as pd

from harness.analysis.cost import EQUAL_WITHIN
from harness.core.verdict import UNDISTINGUISHED, Verdict
from harness.report.format import interval, is_known, join_words, percent

Row = dict[str, Any]
MEASURABLE = 0.5  # half width beyond which an interval of a cost says nothing


EQUAL = f"cost within ±{percent(EQUAL_WITHIN)} of the baseline's"
NOT_SHOWN = "no difference in cost shown"
UNMEASURED = "cost not measurable"
COSTS = ("slower than the baseline", "faster than the baseline", EQUAL, NOT_SHOWN, UNMEASURED)


def sentences(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Return scenario label and sentence, in the order of the table."""
    groups: dict[str, list[Row]] = {}
    for row in table[~table["twin"]].to_dict("records"):
        groups.setdefault(row["scenario"], []).append({str(key): row[key] for key in row})
    return [(scenario, _sentence(rows)) for scenario, rows in groups.items()]


def _sentence(rows: list[Row]) -> str:
    identical = [row for row in rows if row["verdict"] == Verdict.identical]
    differing = [row for row in rows if Verdict(row["verdict"]).differs]
    parts = [_describe_evidence(identical)] if identical else []
    if differing and not identical:
        parts = ["no setting gave identical runs"]
    parts += _compare_costs(identical)
    for verdict in Verdict:
        names = [f"`{row['determinism']}`" for row in rows if row["verdict"] == verdict]
        if names and verdict is not Verdict.identical:
            parts.append(f"{join_words(names)}: {_in_plural(verdict, len(names))}")
    return "; ".join(parts) + "."


def _in_plural(verdict: Verdict, settings: int) -> str:
    return verdict.replace("varies", "vary") if settings > 1 else str(verdict)


def _setting_name(row: Row) -> str:
    """The setting without its aliases, which the sentence has named already."""
    return str(row["determinism"]).partition(" = ")[0]


def _describe_evidence(rows: list[Row]) -> str:
    """State the evidence; with few runs it is an absence of differences, not identity."""
    names = join_words([f"`{row['determinism']}`" for row in rows])
    runs = min(row["trace_runs"] for row in rows)
    bound = max(row["divergence_rate_upper"] for row in rows)
    worded = {row["verdict_wording"] for row in rows}
    claim = UNDISTINGUISHED if UNDISTINGUISHED in worded else "the same bits in every run"
    return (
        f"{claim} under {names}, in {runs} runs each "
        f"(a fresh run differs with probability at most {percent(bound)})"
    )


def _compare_costs(rows: list[Row]) -> list[str]:
    """Quote the cost of each row after its label in the table; empty if none has a cost."""
    quotes: dict[str, list[str]] = {}
    for row in rows:
        if is_known(row["cost_ratio"]) and not row["is_baseline"]:
            ratio, low, high = row["cost_ratio"], row["cost_low"], row["cost_high"]
            quote = f"`{_setting_name(row)}` ({ratio:.3f} ×, {interval(low, high)})"
            quotes.setdefault(_describe_label(row), []).append(quote)
    return [f"{label}: {join_words(quotes[label])}" for label in COSTS if label in quotes]


def _describe_label(row: Row) -> str:
    label = str(row["cost"])
    if label in ("slower", "faster"):
        return f"{label} than the baseline"
    if label.startswith("within"):
        return EQUAL
    return UNMEASURED if row["cost_high"] - row["cost_low"] > 2 * MEASURABLE else NOT_SHOWN
