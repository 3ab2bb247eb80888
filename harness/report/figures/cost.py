"""The figure of costs with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import LogLocator, NullLocator

from harness.core.verdict import Verdict
from harness.report.figures.base import COLORS, GREY, INK, PAPER, Figure, shorten, to_figure

LONGEST = 75  # characters of a name; longer ones would leave no room for the axes
MOST_SHOWN = (0.75, 1.35)  # costs within the axis; others stand at its edge, as numbers


def cost(table: pd.DataFrame) -> Figure | None:
    """Cost ratios with 95 % intervals; the A/A twins beside them show the noise of the machine."""
    rows = table[table["cost_ratio"].notna() & (table["same_as"] == "")]
    if rows.empty:
        return None
    canvas = Canvas(figsize=(10, 1.1 + 0.23 * len(rows)))
    axes = canvas.subplots()
    heights = np.arange(len(rows))[::-1]
    set_cost_axis(axes, rows)
    for height, row in zip(heights, rows.to_dict("records"), strict=True):
        plot_cost(
            axes,
            row,
            height,
            color=GREY if row["twin"] else COLORS[0],
            is_filled=row["verdict"] == Verdict.identical or row["twin"],
        )
    names = [
        shorten(f"{row['scenario']}, {row['determinism']}", LONGEST) + " (A/A twin)" * row["twin"]
        for row in rows.to_dict("records")
    ]
    axes.set_yticks(heights, names)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.set_title("Time per step relative to the baseline, 95 % interval")
    return to_figure(
        canvas,
        "cost",
        "Cost with intervals",
        "Time per step relative to the baseline of the same scenario. Grey: the A/A twin of a "
        "baseline, which shows the noise of the machine. Hollow: cells that are not identical, "
        "whose cost the report does not quote. An arrow: beyond the axis, or an interval that goes "
        "on there.",
    )


def set_cost_axis(axes: Axes, rows: pd.DataFrame) -> None:
    """Let the x axis hold 1 and all intervals, unless a few would squeeze the others."""
    shown = rows[rows["cost_ratio"].between(*MOST_SHOWN)]
    most_are_far = 2 * len(shown) < len(rows)
    ends = (rows if most_are_far else shown)[["cost_low", "cost_high"]].to_numpy(float)
    ends = ends[np.isfinite(ends) & (ends > 0)]
    if most_are_far:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        ends = np.clip(ends, *MOST_SHOWN)
    axes.set_xlim(0.99 * float(ends.min(initial=1)), 1.01 * float(ends.max(initial=1)))
    axes.axvline(1, color=INK, lw=0.8)


def plot_cost(
    axes: Axes, row: Mapping[Any, Any], height: float, color: str, is_filled: bool = True
) -> None:
    """Plot one ratio with its interval, or an arrow with the ratio where the axis ends."""
    left, right = axes.get_xlim()
    ratio, low, high = row["cost_ratio"], row["cost_low"], row["cost_high"]
    if left <= ratio <= right:
        axes.plot(np.clip([low, high], left, right), [height, height], color=color, lw=1.6)
        axes.plot(ratio, height, "o", color=color, ms=5, mfc=color if is_filled else PAPER)
        for end, mark, is_cut in ((left, "<", low < left), (right, ">", high > right)):
            if is_cut:  # the interval goes on
                axes.plot(end, height, mark, color=color, ms=6, clip_on=False)
        return
    text = f"{ratio:.2f} ({low:.2f}–{high:.2f})"
    axes.annotate(
        f"← {text}" if ratio < left else f"{text} →",
        (left if ratio < left else right, height),
        ha="left" if ratio < left else "right",
        va="center",
        color=color,
    )
