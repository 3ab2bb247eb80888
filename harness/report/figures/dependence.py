"""The figure of a perturbation: at which step each factor first changes each component."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure as Canvas

from harness.report.content.dependence import PLACES
from harness.report.figures.base import COLORS, Figure, shorten, to_figure
from harness.report.figures.grid import draw_field, name_fields


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
            if place in steps:
                color = COLORS[1] if steps[place] == earliest else COLORS[0]
                draw_field(axes, (column, len(found) - 1 - line), str(steps[place]), color, 0.3)
    name_fields(axes, PLACES, [shorten(" + ".join(one["words"])) for one in found])
    return to_figure(
        canvas,
        "dependence",
        "Where each factor first shows",
        "The first step at which a component differs from that of unperturbed runs; orange: the "
        "earliest of a row. Start: the state before step 1. End: the final state, at the last "
        "step. Empty: equal at every step, or no such component.",
    )
