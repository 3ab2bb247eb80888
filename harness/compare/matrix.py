"""Studies × studies: which of them have the same bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

from harness.compare.cells import Answer, SharedCell
from harness.report.figures.base import COLORS, STYLE, Figure, shorten, to_figure
from harness.report.figures.grid import draw_field, name_fields

Pair = tuple[int, int]


@mpl.rc_context(STYLE)
def draw_matrix(names: Sequence[str], pairs: Mapping[Pair, Sequence[SharedCell]]) -> Figure:
    """One row and one column for each study."""
    canvas = Canvas(figsize=(2.5 + 1.3 * len(names), 0.9 + 0.5 * len(names)))
    axes = canvas.subplots()
    for row in range(len(names)):
        for column in range(len(names)):
            place = (column, len(names) - 1 - row)
            if row == column:
                draw_field(axes, place, "", COLORS[0], 0.05)
                continue
            same, known = _count(pairs[min(row, column), max(row, column)])
            color = COLORS[0] if same == known else COLORS[1]
            draw_field(axes, place, f"{same} of {known}", color, 0.3 if known else 0.05)
    short = [shorten(name, 18) for name in names]
    name_fields(axes, short, short)
    return to_figure(
        canvas,
        "compare",
        "Which studies have the same bits",
        "Cells with the same bits, of those whose runs agree in both studies; orange: some differ.",
    )


def _count(cells: Sequence[SharedCell]) -> tuple[int, int]:
    """How many cells have the same bits, of those that have a result in both studies."""
    answers = [cell.answer for cell in cells]
    same = answers.count(Answer.same)
    return same, same + answers.count(Answer.differ)
