"""The figure of a recipe: how often runs may differ, against what the set of switches costs."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Canvas

from harness.core.verdict import Verdict
from harness.report.figures.base import COLORS, GREY, INK, PAPER, Figure, shorten, to_figure

APART = 0.05  # between points with the same share
MOST_LISTED = 14  # lines of names beside the axes
LONGEST = 54  # characters of a name in the list
GENERATORS = ("torch", "numpy", "python")
COST = ["cost_ratio", "cost_low", "cost_high"]
NO_FILL = ("fill_uninitialized_memory", "false")  # as if there were no such switch


def tradeoff(table: pd.DataFrame, recipe: Mapping[str, Any] | None) -> Figure | None:
    """Share of processes that differ, or the bound on it, by cost; one point for each set.

    ``table`` is the cell table with labels, ``recipe`` the document of the search, if it made the
    study and found a set.
    """
    if recipe is None or not recipe["cell"]:
        return None
    cells = table[~table["twin"]].copy()
    cells.loc[cells["cell"] == cells["baseline"], COST] = 1.0
    # each set was timed itself before one stood for those that differ in seeds
    timed_as = recipe.get("timed_as", {})
    timed = [timed_as.get(cell, cell) for cell in cells["cell"]]
    cells[COST] = cells.set_index("cell")[COST].loc[timed].to_numpy()
    rows = cells[(cells["same_as"] == "") & (cells["trace_runs"] > 1)]
    rows = rows[rows["cost_ratio"].notna()].sort_values("cost_ratio")
    if rows.empty:
        return None
    canvas = Canvas(figsize=(10, 3.8))
    axes, names = canvas.subplots(1, 2, width_ratios=(3, 2))
    points = rows.to_dict("records")
    shares = [_share(row) for row in points]
    heights = _apart(shares)
    switches = (*recipe["kept"], *recipe["unneeded"])
    for number, (row, height) in enumerate(zip(points, heights, strict=True), 1):
        agrees = row["verdict"] == Verdict.identical
        color = COLORS[1] if row["cell"] == recipe["cell"] else COLORS[0] if agrees else GREY
        axes.plot([row["cost_low"], row["cost_high"]], [height, height], color=color, lw=1)
        axes.plot(row["cost_ratio"], height, "v" if agrees else "o", color=color, mfc=PAPER, ms=6)
        axes.annotate(
            str(number),
            (row["cost_high"], height),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=color,
        )
        if number <= MOST_LISTED:
            text = shorten(f"{number}  {_describe(row, switches)}", LONGEST)
            line = names.text(0, 1 - number / MOST_LISTED, text, fontsize=8, color=color)
            line.set_in_layout(False)  # or a long name would take the place of the axes
    names.axis("off")
    axes.axvline(1, color=INK, lw=0.6)
    axes.set_ylim(min(heights) - 0.1, max(heights) + 0.1)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    axes.set_xlabel("time per step relative to all seeds alone, 95 % interval", loc="left")
    axes.set_title("Processes that differ (○), or at most may (▽)")
    return to_figure(
        canvas,
        "tradeoff",
        "Divergence against cost",
        "Each point is a set of switches that was run. Circles: the share of processes that "
        "differ. Triangles: no run differed, and at most this share of fresh ones does (95 % "
        "confidence); more runs would bring them down. Orange: the recipe. Points with the same "
        "share are drawn a little apart. Of sets that differ only in seeds, one is timed.",
    )


def _share(row: Mapping[Any, Any]) -> float:
    """Of the processes that differ from the others, 1 if no two agree; or the bound on it."""
    if row["verdict"] == Verdict.identical:
        return float(row["divergence_rate_upper"])
    if row["differ"] == row["differ_of"] - 1:
        return 1.0
    return float(row["differ"] / row["differ_of"])


def _apart(shares: Sequence[float]) -> list[float]:
    """Return heights at which points with the same share do not hide each other."""
    total, seen = Counter(shares), Counter[float]()
    heights = []
    for share in shares:
        heights.append(share + APART * (seen[share] - (total[share] - 1) / 2))
        seen[share] += 1
    return heights


def _describe(row: Mapping[Any, Any], switches: Collection[str]) -> str:
    """Name a set by its switches or, if that is shorter, by those that it lacks."""
    values = _values(row)
    own = [name for name in switches if name in values]
    lacking = [name for name in switches if name not in values]
    others = [f"{name}={value}" for name, value in values.items() if name not in switches]
    if len(lacking) < len(own):
        text = f"all but {_list(lacking)}" if lacking else "all switches"
    else:
        text = _list(own)
    return " + ".join([*[text] * bool(text), *others]) or "no switch"


def _values(row: Mapping[Any, Any]) -> dict[str, str]:
    words = [word.removeprefix("determinism.") for word in shlex.split(row["overrides"])]
    values = dict(word.split("=", 1) for word in words if not word.startswith("scenario."))
    is_seeded = "seed" in values or row["determinism"] == "seed"
    seeds = [f"seeds.{name}" for name in GENERATORS if values.get(f"seeds.{name}") != "false"]
    others = {
        name: value
        for name, value in values.items()
        if not name.startswith("seed") and (name, value) != NO_FILL
    }
    return dict.fromkeys(seeds if is_seeded else [], "") | others


def _list(names: Sequence[str]) -> str:
    seeds = [name.removeprefix("seeds.") for name in names if name.startswith("seeds.")]
    others = [name for name in names if not name.startswith("seeds.")]
    return ", ".join([*[f"seed of {' and '.join(seeds)}"] * bool(seeds), *others])
