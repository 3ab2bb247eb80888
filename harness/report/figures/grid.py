"""A grid of colored fields with words in them, its columns named above and its rows at the left."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from harness.report.figures.base import INK, PAPER


def draw_field(axes: Axes, place: tuple[int, int], text: str, color: str, opacity: float) -> None:
    """``place`` is the column and the row, counted from below."""
    axes.add_patch(Rectangle(place, 1, 1, color=color, alpha=opacity, lw=0))
    axes.add_patch(Rectangle(place, 1, 1, fill=False, ec=PAPER, lw=2))
    axes.text(place[0] + 0.5, place[1] + 0.5, text, ha="center", va="center", color=INK)


def name_fields(axes: Axes, columns: Sequence[str], rows: Sequence[str]) -> None:
    """Name the columns, from the left, and the rows, from above."""
    axes.set_xlim(0, len(columns))
    axes.set_ylim(0, len(rows))
    axes.set_xticks([number + 0.5 for number in range(len(columns))], columns)
    axes.set_yticks([len(rows) - 0.5 - line for line in range(len(rows))], rows)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
