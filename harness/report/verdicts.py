"""One sentence per scenario: which settings gave one digest, on what evidence, at what cost."""

from __future__ import annotations

import pandas as pd

from harness.analysis.verdict import Verdict
from harness.report.wording import SURE_RUNS, interval, is_known, listed, percent


def sentences(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Scenario and sentence, in the table's order; a group is a scenario with its overrides."""
    cells = table[~table["twin"]]
    groups = cells.groupby(["scenario", "overrides_of_scenario"], sort=False)
    return [(heading(name, overrides), sentence(rows)) for (name, overrides), rows in groups]


def heading(scenario: str, overrides: str) -> str:
    return f"{scenario} ({overrides})" if overrides else scenario


def sentence(rows: pd.DataFrame) -> str:
    parts = [identical_part(rows[rows["verdict"] == Verdict.identical])]
    for verdict in Verdict:
        found = rows[rows["verdict"] == verdict]
        if verdict is not Verdict.identical and len(found):
            names = listed([f"`{name}`" for name in found["determinism"]])
            parts.append(f"{names}: {verdict}")
    return "; ".join(part for part in parts if part) + "."


def identical_part(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "no setting gave one digest"
    names = listed([f"`{name}`" for name in rows["determinism"]])
    return f"bit for bit the same under {names} ({evidence(rows)}){price(rows)}"


def evidence(rows: pd.DataFrame) -> str:
    """Under 30 runs nothing is called reproducible: no difference was seen, so often."""
    runs = int(rows["trace_runs"].min())
    bound = percent(rows["divergence_rate_upper"].max())
    seen = "one digest" if runs >= SURE_RUNS else "no difference seen"
    return f"{seen} in {runs} runs each; a fresh run differs with a chance of at most {bound}"


def price(rows: pd.DataFrame) -> str:
    """The cheapest setting, and every other whose interval overlaps its."""
    costs = {row.determinism: cost_of(row) for row in rows.itertuples()}
    known = {name: one for name, one in costs.items() if one is not None}
    if not known:
        return ""
    cheapest = min(known, key=lambda name: known[name][0])
    _, _, upper = known[cheapest]
    as_cheap = [name for name, (_, low, _) in known.items() if name != cheapest and low <= upper]
    dearer = [name for name in known if name != cheapest and name not in as_cheap]
    text = f"; cheapest is `{cheapest}`{quoted(known[cheapest])}"
    if as_cheap:
        text += ", not told apart from " + listed([f"`{n}`{quoted(known[n])}" for n in as_cheap])
    if dearer:
        text += "; dearer: " + listed([f"`{n}`{quoted(known[n])}" for n in dearer])
    return text


def cost_of(row: object) -> tuple[float, float, float] | None:
    """Ratio and interval; a baseline is 1 by definition."""
    ratio, low, high = (getattr(row, name) for name in ("cost_ratio", "cost_low", "cost_high"))
    if is_known(ratio):
        return ratio, low, high
    is_baseline = getattr(row, "is_baseline", False) and getattr(row, "timing_runs", 0) > 0
    return (1.0, 1.0, 1.0) if is_baseline else None


def quoted(one: tuple[float, float, float]) -> str:
    ratio, low, high = one
    return " (the baseline)" if low == high else f" ({ratio:.3f} ×, {interval(low, high)})"
