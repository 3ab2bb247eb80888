"""One sentence per scenario: which settings gave one digest, on what evidence, at what cost."""

from __future__ import annotations

from typing import Any, NamedTuple

import pandas as pd

from harness.core.verdict import Verdict
from harness.report.format import MIN_IDENTICAL_RUNS, interval, is_known, join_words, percent

Row = dict[str, Any]


class Cost(NamedTuple):
    """A cost ratio with its interval; a baseline's is 1 by definition."""

    ratio: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.low == self.high:
            return "the baseline"
        return f"{self.ratio:.3f} ×, {interval(self.low, self.high)}"


def sentences(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Scenario, with its overrides, and sentence, in the table's order."""
    groups: dict[str, list[Row]] = {}
    for row in table[~table["twin"]].to_dict("records"):
        named = {str(key): value for key, value in row.items()}
        groups.setdefault(named["scenario"], []).append(named)
    return [(scenario, _sentence(rows)) for scenario, rows in groups.items()]


def _sentence(rows: list[Row]) -> str:
    identical = [row for row in rows if row["verdict"] == Verdict.identical]
    parts = [_describe_evidence(identical)]
    if prices := {_setting_name(row): price for row in identical if (price := _cost_of(row))}:
        slower = {_setting_name(row) for row in identical if row["cost"] == "slower"}
        parts.append(_cheapest(prices, slower))
    for verdict in Verdict:
        names = [f"`{row['determinism']}`" for row in rows if row["verdict"] == verdict]
        if names and verdict is not Verdict.identical:
            parts.append(f"{join_words(names)}: {verdict}")
    return "; ".join(parts) + "."


def _setting_name(row: Row) -> str:
    """A setting without the others that are the same experiment, named once already."""
    return str(row["determinism"]).partition(" = ")[0]


def _describe_evidence(rows: list[Row]) -> str:
    """Under 30 runs nothing is called the same: no difference was seen, so often."""
    if not rows:
        return "no setting gave one digest"
    names = join_words([f"`{row['determinism']}`" for row in rows])
    runs = min(row["trace_runs"] for row in rows)
    bound = percent(max(row["divergence_rate_upper"] for row in rows))
    claim = "the same bits in every run" if runs >= MIN_IDENTICAL_RUNS else "no difference seen"
    return (
        f"{claim} under {names}, in {runs} runs each "
        f"(a fresh run differs with a chance of at most {bound})"
    )


def _cheapest(prices: dict[str, Cost], slower: set[str]) -> str:
    """The cheapest setting, and every other that cannot be told apart from it.

    Dearer is what the table calls slower and whose interval does not reach the cheapest one's.
    """
    best = min(prices, key=lambda name: prices[name].ratio)
    others = {name: price for name, price in prices.items() if name != best}
    clear = prices[best].high < 1  # faster than the baseline, so than all that are not
    dearer = [
        name
        for name, price in others.items()
        if price.low > prices[best].high and (name in slower or clear)
    ]
    as_cheap = [name for name in others if name not in dearer]

    def quoted(names: list[str]) -> str:
        return join_words([f"`{name}` ({prices[name]})" for name in names])

    text = f"cheapest is {quoted([best])}"
    text += f", not told apart from {quoted(as_cheap)}" if as_cheap else ""
    return text + (f"; dearer: {quoted(dearer)}" if dearer else "")


def _cost_of(row: Row) -> Cost | None:
    if is_known(row["cost_ratio"]):
        return Cost(row["cost_ratio"], row["cost_low"], row["cost_high"])
    return Cost(1, 1, 1) if row["is_baseline"] and row["timing_runs"] else None
