"""The figure for a slide: verdicts by training and setting, with what the strictest one costs."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from harness.report.content.document import ReportContent
from harness.report.content.overview import (
    ALIKE,
    FAILED,
    RARELY,
    REFUSED,
    SAME,
    UNTESTED,
    VARIES,
    Field,
    Overview,
    OverviewRow,
)
from harness.report.figures.base import COLORS, GREY, Figure, shorten, to_figure
from harness.report.figures.cost import plot_cost, set_cost_axis
from harness.report.figures.grid import draw_field, name_fields

FILLS = {  # color and its opacity, which the theme's paper shines through
    SAME: ("#0072b2", 0.3),
    ALIKE: ("#0072b2", 0.12),
    VARIES: ("#d55e00", 0.45),
    RARELY: ("#e69f00", 0.4),
    REFUSED: (GREY, 0.3),
    FAILED: (GREY, 0.3),
    UNTESTED: (GREY, 0.12),
}


def verdicts(table: pd.DataFrame, content: ReportContent) -> Figure | None:
    """The map of the first screen with machine, date and runs, for use outside the report."""
    overview = content.overview
    if sum(field is not None for row in overview.rows for field in row.fields) < 2:
        return None
    rows, columns = overview.rows, overview.columns
    costs = _quoted_costs(table, rows)
    lines = max(name.count(", ") for name in columns)
    canvas = Canvas(figsize=(10, 1.6 + 0.32 * len(rows) + 0.15 * lines))
    widths = [1.0 + 0.9 * len(columns), 3.0] if len(costs) else [1]
    axes, *beside = canvas.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
    _draw_map(axes, overview)
    if beside:
        _draw_costs(beside[0], rows, costs)
    canvas.suptitle(
        f"{content.where} · {content.created[:10]} · {content.title}", fontsize=8, x=0.01, ha="left"
    )
    marks = " ".join(f"{mark.symbol} {mark.word}." for mark in content.marks)
    return to_figure(
        canvas,
        "verdicts",
        "Verdicts by training and setting",
        f"{marks} k of n: processes whose result is not the most frequent one. The costs are those "
        "that a report quotes: of settings without a difference, with 95 % intervals.",
    )


def _draw_map(axes: Axes, overview: Overview) -> None:
    height = len(overview.rows)
    for line, row in enumerate(overview.rows):
        for column, field in enumerate(row.fields):
            if field is None:
                continue
            color, opacity = FILLS[field.mark]
            draw_field(axes, (column, height - 1 - line), _words(field), color, opacity)
    name_fields(
        axes,
        [name.replace(", ", ",\n") for name in overview.columns],
        [shorten(row.label) for row in overview.rows],
    )


def _words(field: Field) -> str:
    return f"{field.mark.symbol} {f'= {field.like}' if field.like else field.differ}".strip()


def _quoted_costs(table: pd.DataFrame, rows: list[OverviewRow]) -> pd.DataFrame:
    """The costs on the map of the setting that has the most of them, the first of equals."""
    quoted = {field.cell for row in rows for field in row.fields if field and field.cost}
    costs = table[table["cell"].isin(quoted) & ~table["twin"] & table["cost_ratio"].notna()]
    if costs.empty:
        return costs
    counts = costs["determinism"].value_counts(sort=False)
    return costs[costs["determinism"] == counts.idxmax()]


def _draw_costs(axes: Axes, rows: list[OverviewRow], costs: pd.DataFrame) -> None:
    by_training = {row["scenario"]: row for row in costs.to_dict("records")}
    set_cost_axis(axes, costs)
    for line, row in enumerate(rows):
        if row.label in by_training:
            plot_cost(axes, by_training[row.label], len(rows) - 0.5 - line, COLORS[0])
    axes.set_ylim(0, len(rows))
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    setting = shorten(costs["determinism"].iloc[0])
    axes.set_xlabel(
        f"time per step under {setting}\nrelative to the baseline, 95 % interval", fontsize=8
    )
