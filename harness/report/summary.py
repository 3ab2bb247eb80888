"""One sentence per scenario: which settings gave identical runs, and what they cost."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd

from harness.core.verdict import UNDISTINGUISHED, Verdict
from harness.report.format import interval, is_known, join_words, percent

Row = dict[str, Any]
MEASURABLE = 0.5  # half width beyond which an interval of a cost says nothing


class Cost(NamedTuple):
    """A cost ratio with its interval; that of a baseline is 1 by definition."""

    ratio: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.low == self.high:
            return "baseline"
        return f"{self.ratio:.3f} ×, {interval(self.low, self.high)}"


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
    if costs := {_setting_name(row): cost for row in identical if (cost := _cost_of(row))}:
        slower = {_setting_name(row) for row in identical if row["cost"] == "slower"}
        parts.append(_compare_costs(costs, slower))
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


def _compare_costs(costs: dict[str, Cost], labeled_slower: set[str]) -> str:
    """Name the slower settings and the one that they are slower than, or say that none is.

    A setting is slower if its interval lies above that of the cheapest one, and either the table
    labels it so or the cheapest one is clearly faster than the baseline.
    """
    cheapest = min(costs, key=lambda name: costs[name].ratio)
    beats_baseline = costs[cheapest].high < 1
    others = [name for name in costs if name != cheapest]
    slower = [
        name
        for name in others
        if costs[name].low > costs[cheapest].high and (name in labeled_slower or beats_baseline)
    ]
    undecided = [name for name in others if name not in slower]

    def quote(names: list[str]) -> str:
        return join_words([f"`{name}` ({costs[name]})" for name in names])

    if not slower:
        if all(cost.high < 1 for cost in costs.values()):
            return f"faster than the baseline: {quote(list(costs))}"
        wide = any(cost.high - cost.low > 2 * MEASURABLE for cost in costs.values())
        finding = "cost not measurable" if wide else "no difference in cost shown"
        return f"{finding if others or wide else 'cost'}: {quote(list(costs))}"
    text = f"cheapest: {quote([cheapest])}"
    if undecided:
        text += f"; not shown to cost more: {quote(undecided)}"
    return f"{text}; slower: {quote(slower)}"


def _cost_of(row: Row) -> Cost | None:
    if is_known(row["cost_ratio"]):
        return Cost(row["cost_ratio"], row["cost_low"], row["cost_high"])
    return Cost(1, 1, 1) if row["is_baseline"] and row["timing_runs"] else None
