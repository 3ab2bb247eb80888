"""The figure of a perturbation: at which step each factor first changes each component."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Rectangle

from harness.report.content.dependence import PLACES
from harness.report.figures.base import COLORS, INK, PAPER, Figure, shorten, to_figure


def dependence(document: Mapping[str, Any] | None) -> Figure | None:
    """One row for each difference that `perturb` found, one column for each component of a step."""
    found = [one for one in (document or {}).get("differences", ()) if one["first_steps"]]
    if not found:
        return None
    canvas = Canvas(figsize=(10, 1.1 + 0.34 * len(found)))
    axes = canvas.subplots()
    for line, difference in enumerate(found):
        steps = difference["first_steps"]
        earliest = min(steps.values())
        for column, place in enumerate(PLACES):
            corner = (column, len(found) - 1 - line)
            if place in steps:
                color = COLORS[1] if steps[place] == earliest else COLORS[0]
                axes.add_patch(Rectangle(corner, 1, 1, color=color, alpha=0.3, lw=0))
                axes.text(
                    corner[0] + 0.5,
                    corner[1] + 0.5,
                    str(steps[place]),
                    ha="center",
                    va="center",
                    color=INK,
                )
            axes.add_patch(Rectangle(corner, 1, 1, fill=False, ec=PAPER, lw=2))
    axes.set_xlim(0, len(PLACES))
    axes.set_ylim(0, len(found))
    axes.set_xticks([number + 0.5 for number in range(len(PLACES))], PLACES)
    axes.set_yticks(
        [len(found) - 0.5 - line for line in range(len(found))],
        [shorten(" and ".join(one["what"])) for one in found],
    )
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return to_figure(
        canvas,
        "dependence",
        "Where each factor first shows",
        "The first step at which a component differs from that of unperturbed runs; orange: the "
        "earliest of a row. Step 0 is the state before the first step. Empty: equal at every step.",
    )
