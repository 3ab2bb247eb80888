"""The figure of how far trainings end apart, against what their setting costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from harness.core.verdict import Verdict
from harness.report.figures.base import (
    COLORS,
    GREY,
    INK,
    PAPER,
    Figure,
    set_scale_from_zero,
    shorten,
    to_figure,
)
from harness.report.format import is_known

Row = Mapping[Any, Any]
MOST_NAMED = 12
LABELS_AT, ROOM = 0.62, 0.06  # of the width of the axes, and of its height for each label


def reproducibility(table: pd.DataFrame) -> Figure | None:
    """Distance of final weights against cost."""
    rows = table[
        ~table["twin"]
        & (table["same_as"] == "")
        & (table["trace_runs"] > 1)
        & (table["timing_runs"] > 0)
        & table["weight_rel_l2"].notna()
    ].to_dict("records")
    if not rows:
        return None
    canvas = Canvas(figsize=(10, 3.6))
    axes = canvas.subplots()
    named = sorted(
        (row for row in rows if _differs(row)), key=lambda row: -float(row["weight_rel_l2"])
    )[:MOST_NAMED]
    numbers = {row["cell"]: number for number, row in enumerate(named)}
    for row in rows:
        number = numbers.get(row["cell"])
        color = GREY if number is None else COLORS[number % len(COLORS)]
        axes.plot(
            _cost(row),
            row["weight_rel_l2"],
            "o",
            ms=7,
            alpha=0.8,
            clip_on=False,  # equal weights lie on the axis
            color=color,
            mfc=PAPER if _differs(row) and row["weight_rel_l2"] == 0 else color,
        )
    set_scale_from_zero(axes)
    low, high = min(map(_cost, rows)), max(map(_cost, rows))
    margin = max(0.05 * (high - low), 0.01)
    axes.set_xlim(low - margin, low - margin + (high - low + 2 * margin) / (LABELS_AT - 0.04))
    axes.set_xticks([tick for tick in axes.get_xticks() if low - margin <= tick <= high + margin])
    axes.axvline(1, color=INK, lw=0.6)
    _name_points(axes, named)
    axes.set_xlabel("time per step relative to the baseline", loc="left")
    axes.set_title("Distance of final weights, ‖w−w₁‖/‖w₁‖")
    return to_figure(
        canvas,
        "reproducibility",
        "Reproducibility against cost",
        "Each point is one cell. On the bottom line, all compared trainings ended with the same "
        "weights; the higher, the further apart they ended; the further left, the faster. Grey: "
        f"cells that do not vary. Named: the {MOST_NAMED} that end furthest apart, at most. "
        "Hollow: the weights agree but the cell varies, in another outcome or in a timing run, "
        "whose weights are not kept.",
    )


def _name_points(axes: Axes, rows: Sequence[Row]) -> None:
    """Write names into the empty right part, from the top, each as near its point as there is room.

    The rows are sorted from the highest point to the lowest.
    """
    to_axes = axes.transData + axes.transAxes.inverted()
    below = 1.0
    for number, row in enumerate(rows):
        point = to_axes.transform((_cost(row), row["weight_rel_l2"]))
        lowest = ROOM * (len(rows) - number - 1)  # leaves room for those that follow
        below = max(min(float(point[1]), below), lowest)
        color = COLORS[number % len(COLORS)]
        axes.annotate(
            shorten(f"{row['scenario']}, {row['determinism']}"),
            (float(point[0]), float(point[1])),
            (LABELS_AT, below),
            xycoords="axes fraction",
            textcoords="axes fraction",
            va="center",
            fontsize=8,
            bbox={"fc": PAPER, "ec": "none", "pad": 1},  # or lines to lower names would strike it
            arrowprops={"arrowstyle": "-", "color": color, "lw": 0.6, "shrinkB": 4},
        )
        below -= ROOM


def _cost(row: Row) -> float:
    return float(row["cost_ratio"]) if is_known(row["cost_ratio"]) else 1.0


def _differs(row: Row) -> bool:
    return Verdict(row["verdict"]).differs
