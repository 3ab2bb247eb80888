"""All figures of a report; here the ones about cost."""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure as Canvas

from harness.analysis.cost import step_s
from harness.analysis.study_data import StudyData, is_timed
from harness.core.files import make_folder, write_text
from harness.core.verdict import Verdict
from harness.report.divergence_plots import divergence, two_runs
from harness.report.plot_base import (
    COLORS,
    INK,
    PAPER,
    STYLE,
    Figure,
    set_scale_from_zero,
    to_figure,
)

MOST_SHOWN = (0.75, 1.35)  # costs within the axis; others stand at its edge, as numbers


def draw_figures(folder: Path, study: StudyData, table: pd.DataFrame) -> list[Figure]:
    """Draw every figure that the study has data for, and write each to its own file."""
    make_folder(folder)
    drawers = (two_runs, divergence, cost, schedule, reproducibility)
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the viewer's font may have it
        figures = [figure for drawer in drawers if (figure := drawer(study, table))]
    for drawer in drawers:
        (folder / f"{drawer.__name__}.svg").unlink(missing_ok=True)  # of an earlier report
    for figure in figures:
        write_text(folder / f"{figure.name}.svg", str(figure.svg))
    return figures


def cost(study: StudyData, table: pd.DataFrame) -> Figure | None:  # noqa: ARG001
    """Cost ratios with 95 % intervals; the A/A twins beside them show the noise of the machine."""
    rows = table[table["cost_ratio"].notna() & (table["same_as"] == "")]
    if rows.empty:
        return None
    canvas = Canvas(figsize=(10, 1.1 + 0.23 * len(rows)))
    axes = canvas.subplots()
    heights = np.arange(len(rows))[::-1]
    left, right = _cost_limits(rows)
    for height, row in zip(heights, rows.to_dict("records"), strict=True):
        color = "#8a8f98" if row["twin"] else COLORS[0]
        filled = row["verdict"] == Verdict.identical or row["twin"]
        ratio, ends = row["cost_ratio"], np.clip([row["cost_low"], row["cost_high"]], left, right)
        if left <= ratio <= right:
            axes.plot(ends, [height, height], color=color, lw=1.6)
            axes.plot(ratio, height, "o", color=color, ms=5, mfc=color if filled else PAPER)
        else:
            axes.annotate(
                f"← {ratio:.2f}" if ratio < left else f"{ratio:.2f} →",
                (left if ratio < left else right, height),
                ha="left" if ratio < left else "right",
                va="center",
                color=color,
            )
    axes.set_xlim(left, right)
    axes.axvline(1, color=INK, lw=0.8)
    names = [
        f"{row['scenario']}, {row['determinism']}{' (A/A twin)' * row['twin']}"
        for row in rows.to_dict("records")
    ]
    axes.set_yticks(heights, names)
    axes.set_title("Time per step relative to the baseline, 95 % interval")
    return to_figure(
        canvas,
        "cost",
        "Cost with intervals",
        "Time per step relative to the baseline of the same scenario. Grey: the A/A twin of a "
        "baseline, which shows the noise of the machine. Hollow: cells that are not identical, "
        "whose cost the report does not quote. An arrow: beyond the axis, with its ratio.",
    )


def _cost_limits(rows: pd.DataFrame) -> tuple[float, float]:
    """The ends of the axis: all intervals, unless a few would squeeze the others."""
    shown = rows[rows["cost_ratio"].between(*MOST_SHOWN)]
    if shown.empty:
        return MOST_SHOWN
    low, high = float(shown["cost_low"].min()), float(shown["cost_high"].max())
    return max(low, MOST_SHOWN[0]) * 0.99, min(high, MOST_SHOWN[1]) * 1.01


def schedule(study: StudyData, table: pd.DataFrame) -> Figure | None:  # noqa: ARG001
    """Every timing run by its position in the schedule, which shows drift."""
    cells = [cell for cell in study.cells if cell.timings and cell.same_as is None]
    if not cells:
        return None
    canvas = Canvas(figsize=(10, 3.2))
    axes = canvas.subplots()
    scenarios = list(dict.fromkeys(cell.cell.scenario.title for cell in cells))
    for cell in cells:
        runs = [run for run in [*cell.timings, *cell.twins] if is_timed(run)]
        median = np.median([step_s(run) for run in runs]) if runs else 1.0
        name = cell.cell.scenario.title
        axes.plot(
            [run.position for run in runs],
            [step_s(run) / median for run in runs],
            "o",
            ms=3.5,
            alpha=0.75,
            color=COLORS[scenarios.index(name) % len(COLORS)],
            label=name,
        )
    axes.axhline(1, color=INK, lw=0.6)
    axes.set_xlabel("position in the schedule")
    axes.set_title("Time per step of every timing run, relative to the median of its cell")
    unique = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    canvas.legend(unique.values(), unique.keys(), loc="outside right upper", frameon=False)
    return to_figure(
        canvas,
        "schedule",
        "Timing runs by schedule position",
        "Each point is one timing run. A slope shows that the machine drifts, which pairing by "
        "block cancels; a single high point is a disturbed run.",
    )


def reproducibility(study: StudyData, table: pd.DataFrame) -> Figure | None:  # noqa: ARG001
    """Distance of final weights against cost."""
    rows = table[
        ~table["twin"]
        & (table["same_as"] == "")
        & (table["trace_runs"] > 1)
        & (table["timing_runs"] > 0)
        & table["weight_rel_l2"].notna()
    ]
    if rows.empty:
        return None
    canvas = Canvas(figsize=(10, 3.6))
    axes = canvas.subplots()
    scenarios = list(dict.fromkeys(rows["scenario"]))
    settings = list(dict.fromkeys(rows["determinism"]))
    for row in rows.to_dict("records"):
        color = COLORS[scenarios.index(row["scenario"]) % len(COLORS)]
        axes.plot(
            1.0 if pd.isna(row["cost_ratio"]) else row["cost_ratio"],
            row["weight_rel_l2"],
            marker="osD^v<>PX*"[settings.index(row["determinism"]) % 10],
            ms=7,
            alpha=0.8,
            clip_on=False,  # equal weights lie on the axis
            color=color,
            mfc=PAPER if _varies_with_equal_weights(row) else color,
            ls="none",
            label=f"{row['scenario']}, {row['determinism']}",
        )
    set_scale_from_zero(axes)
    axes.axvline(1, color=INK, lw=0.6)
    axes.set_xlabel("time per step relative to the baseline")
    axes.set_title("Distance of final weights, ‖w−w₁‖/‖w₁‖")
    canvas.legend(loc="outside right upper", frameon=False, fontsize=7, ncols=1 + len(rows) // 18)
    return to_figure(
        canvas,
        "reproducibility",
        "Reproducibility against cost",
        "Each marker is one cell. On the bottom line, all compared trainings ended with the same "
        "weights; the higher, the further apart they ended; the further left, the faster. Hollow: "
        "the weights agree but the cell varies, in another outcome or in a timing run, whose "
        "weights are not kept.",
    )


def _varies_with_equal_weights(row: dict[Hashable, Any]) -> bool:
    return bool(row["weight_rel_l2"] == 0 and Verdict(row["verdict"]).differs)
