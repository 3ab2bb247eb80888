"""The figure of timing runs by their position in the schedule."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure as Canvas

from harness.analysis.cost import step_s
from harness.analysis.study_data import StudyData, is_timed
from harness.report.figures.base import COLORS, INK, Figure, to_figure


def schedule(study: StudyData) -> Figure | None:
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
