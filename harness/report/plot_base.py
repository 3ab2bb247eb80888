"""Shared parts of all figures: style, a logarithmic scale that includes 0, and SVG output."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

# The palette of Okabe and Ito, which people with any color vision can distinguish.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d31")
STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
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


def set_scale_from_zero(axes: Axes) -> None:
    """Make the y axis logarithmic with exactly 0, which stands for equal bits, at the bottom."""
    lines = [np.asarray(line.get_ydata(), float) for line in axes.lines]
    values = np.concatenate([np.zeros(0), *lines])
    positive = values[np.isfinite(values) & (values > 0)]
    axes.set_yscale("symlog", linthresh=float(positive.min()) if len(positive) else 1e-9)
    axes.set_ylim(bottom=0)


def to_figure(canvas: Canvas, name: str, title: str, caption: str) -> Figure:
    buffer = io.StringIO()
    canvas.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return Figure(name, title, caption, Markup(text[text.index("<svg") :]))  # noqa: S704
