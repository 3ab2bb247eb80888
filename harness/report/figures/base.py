"""Shared parts of all figures: style, a logarithmic scale that includes 0, and SVG output."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from harness.report.format import printable

# The palette of Okabe and Ito, which people with any color vision can distinguish.
INK, PAPER = "#010203", "#fdfefd"  # in no other place, so that a page can use its own instead
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", INK, "#8c6d31")
GREY = "#8a8f98"  # readable on either paper
LONGEST_NAME = 40  # characters in a figure
STYLE: Any = {
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), PAPER),
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "text.parse_math": False,  # a name with two dollar signs is no formula
    "svg.fonttype": "none",  # text stays text: small files that can be searched
    "svg.hashsalt": "harness",  # the same data give the same file
    "font.family": "sans-serif",
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True)
class Figure:
    name: str
    title: str
    caption: str
    svg: Markup

    @property
    def inline(self) -> Markup:
        """For a page with a light and a dark theme, whose colors of text and paper it takes."""
        text = str(self.svg).replace(INK, "currentColor").replace(PAPER, "var(--paper)")
        text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{self.name}-", text)  # unique in the page
        label = escape(f"{self.title}. {self.caption}")
        return Markup(text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1))  # noqa: S704


def shorten(name: str, longest: int = LONGEST_NAME) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def set_scale_from_zero(axes: Axes) -> None:
    """Make the y axis logarithmic with exactly 0, which stands for equal bits, at the bottom."""
    lines = [np.asarray(line.get_ydata(), float) for line in axes.lines]
    values = np.concatenate([np.zeros(0), *lines])
    positive = values[np.isfinite(values) & (values > 0)]
    axes.set_yscale("symlog", linthresh=float(positive.min()) if len(positive) else 1e-9)
    axes.yaxis.set_major_formatter(lambda value, _: _power(value))
    axes.set_ylim(bottom=0)


def _power(value: float) -> str:
    """A power of ten as 1e-6, since mathematical text is off."""
    return f"{value:g}" if value == 0 or 1e-2 <= value <= 1e2 else f"1e{np.log10(value):.0f}"


def to_figure(canvas: Canvas, name: str, title: str, caption: str) -> Figure:
    buffer = io.StringIO()
    canvas.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = printable(buffer.getvalue())
    return Figure(name, title, caption, Markup(text[text.index("<svg") :]))  # noqa: S704
