"""The figures, as SVG: two runs, divergence, cost, every run by position, cost and distance."""

from __future__ import annotations

import io
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from harness.analysis.cost import step_s
from harness.analysis.evidence import CellEvidence, StudyEvidence, is_timed
from harness.analysis.verdict import Verdict, judge
from harness.spec import Noise

# Okabe and Ito's colours, which people with any colour vision can tell apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d31")
PANELS = 3  # of the figure of two runs
STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "svg.fonttype": "none",  # text stays text: small files that can be searched
    "svg.hashsalt": "harness",  # equal data, equal file
    "font.family": "sans-serif",
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True)
class Figure:
    name: str
    title: str
    caption: str
    svg: Markup


def draw(folder: Path, study: StudyEvidence, table: pd.DataFrame) -> list[Figure]:
    """Draws what the study has data for, writes each to its file."""
    folder.mkdir(exist_ok=True)
    drawers = (two_runs, divergence, costs, schedule, price_of_distance)
    with mpl.rc_context(STYLE):
        figures = [figure for drawer in drawers if (figure := drawer(study, table))]
    for figure in figures:
        (folder / f"{figure.name}.svg").write_text(str(figure.svg), encoding="utf-8")
    return figures


def two_runs(study: StudyEvidence, table: pd.DataFrame) -> Figure | None:  # noqa: ARG001
    """The losses of the first training and of the one that strays furthest from it."""
    cells = [
        cell
        for cell in study.cells
        if cell.same_as is None
        and judge(cell.traces).verdict.differs
        and len(cell.completed[0].repeats[0].losses) > 1
    ]
    if not cells:
        return None
    by_seeds_alone = sorted(cells, key=lambda cell: cell.cell.determinism.seed is None)
    chosen = {cell.cell.scenario.label: cell for cell in reversed(by_seeds_alone)}
    shown = list(chosen.values())[::-1][:PANELS]
    canvas = Canvas(figsize=(10, 2.8))
    for axes, cell in zip(canvas.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        first, *others = loss_rows(cell)
        stray = max(others, key=lambda one: float(np.nanmax(np.abs(one - first))))
        steps = np.arange(1, len(first) + 1)
        axes.plot(steps, first, color=COLOURS[0], lw=2.2, label="the first")
        axes.plot(steps, stray, color=COLOURS[1], lw=1.1, label="the one furthest from it")
        noise = "" if cell.cell.noise is Noise.none else f", noise={cell.cell.noise}"
        axes.set_title(f"{cell.cell.scenario.label}, {cell.cell.setting}{noise}: loss")
        axes.set_xlabel("step")
    canvas.legend(*canvas.axes[0].get_legend_handles_labels(), loc="outside lower center",
                  ncols=2, frameon=False)  # fmt: skip
    return finished(
        canvas,
        "two_runs",
        "Two runs of one training",
        "The loss of a cell's first training and of the one that strays furthest from it: where "
        "one line hides the other, they differ by less than its width.",
    )


def divergence(study: StudyEvidence, table: pd.DataFrame) -> Figure | None:  # noqa: ARG001
    """Each varying cell: largest distance from the first run's first training, by step."""
    varying = [cell for cell in study.cells
               if cell.same_as is None and judge(cell.traces).verdict.differs]  # fmt: skip
    if not varying:
        return None
    canvas = Canvas(figsize=(10, 3.8))
    weights, losses = canvas.subplots(1, 2)
    for cell, look in zip(varying, looks(varying), strict=True):
        label = f"{cell.cell.scenario.label}, {cell.cell.setting}"
        weights.plot(*weight_curve(cell), marker="o", markersize=3, label=label, **look)
        losses.plot(*loss_curve(cell), label=label, **look)
    for axes, what in ((weights, "weights, ‖w−w₁‖/‖w₁‖"), (losses, "loss, |l−l₁|/|l₁|")):
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda step, _: f"{step:g}")
        set_scale_from_zero(axes)
        axes.set_xlabel("step")
        axes.set_title(f"Largest distance from the first run: {what}")
    canvas.legend(*weights.get_legend_handles_labels(), loc="outside lower center",
                  ncols=min(4, len(varying)), frameon=False)  # fmt: skip
    return finished(
        canvas,
        "divergence",
        "Divergence by step",
        "How far trainings lie from the first one, by step, for every cell that varies; "
        "a point at the bottom is exactly 0.",
    )


def weight_curve(cell: CellEvidence) -> tuple[list[int], list[float]]:
    by_step: dict[int, list[float]] = {}
    for run in cell.completed:
        for steps in cell.trajectories(run) or []:
            for step, one in steps.items():
                by_step.setdefault(int(step), []).append(float(one["rel_l2"]))
    points = sorted(by_step.items())
    return [step for step, _ in points], [float(np.max(all_)) for _, all_ in points]  # NaN: a gap


def loss_curve(cell: CellEvidence) -> tuple[list[int], list[float]]:
    table = loss_rows(cell)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.abs(table - table[0]).max(axis=0) / np.abs(table[0])
    return list(range(1, len(relative) + 1)), relative.tolist()


def loss_rows(cell: CellEvidence) -> npt.NDArray[np.float64]:
    """A row for each training, (trainings, steps), cut to the shortest one."""
    losses = [[float(loss) for loss in repeat.losses] for _, repeat in cell.trainings()]
    steps = min(map(len, losses))
    return np.array([one[:steps] for one in losses])


def set_scale_from_zero(axes: Axes) -> None:
    """Logarithmic, with exactly 0 at the bottom, where equal bits belong."""
    drawn = [np.asarray(line.get_ydata(), float) for line in axes.lines]
    values = np.concatenate([np.zeros(0), *drawn])
    positive = values[np.isfinite(values) & (values > 0)]
    axes.set_yscale("symlog", linthresh=float(positive.min()) if len(positive) else 1e-9)
    axes.set_ylim(bottom=0)


def costs(study: StudyEvidence, table: pd.DataFrame) -> Figure | None:  # noqa: ARG001
    """Cost ratios with 95 % intervals; the twin beside them shows what the machine alone does."""
    rows = table[table["cost_ratio"].notna() & (table["same_as"] == "")]
    if rows.empty:
        return None
    canvas = Canvas(figsize=(10, 1.1 + 0.23 * len(rows)))
    axes = canvas.subplots()
    heights = np.arange(len(rows))[::-1]
    for height, row in zip(heights, rows.to_dict("records"), strict=True):
        colour = "#8a8f98" if row["twin"] else COLOURS[0]
        filled = row["verdict"] == Verdict.identical or row["twin"]
        axes.plot([row["cost_low"], row["cost_high"]], [height, height], color=colour, lw=1.6)
        axes.plot(row["cost_ratio"], height, "o", color=colour, ms=5,
                  mfc=colour if filled else "white")  # fmt: skip
    axes.axvline(1, color="black", lw=0.8)
    names = [f"{row['scenario']}, {row['determinism']}{' (A/A twin)' * row['twin']}"
             for row in rows.to_dict("records")]  # fmt: skip
    axes.set_yticks(heights, names)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda ratio, _: f"{ratio:g}")
    axes.xaxis.set_minor_formatter(lambda ratio, _: f"{ratio:.2g}")
    axes.set_title("Time per step against the baseline, 95 % interval")
    return finished(
        canvas,
        "cost",
        "Cost with intervals",
        "Time per step against the baseline of the same scenario. Grey: the baseline against its "
        "own A/A twin, which shows what the machine alone does. Hollow: cells that vary, whose "
        "cost is the price of nothing.",
    )


def schedule(study: StudyEvidence, table: pd.DataFrame) -> Figure | None:  # noqa: ARG001
    """Every timing run where it stood in the schedule: drift is seen, not averaged away."""
    cells = [cell for cell in study.cells if cell.timings and cell.same_as is None]
    if not cells:
        return None
    canvas = Canvas(figsize=(10, 3.2))
    axes = canvas.subplots()
    scenarios = list(dict.fromkeys(cell.cell.scenario.label for cell in cells))
    for cell in cells:
        runs = [run for run in [*cell.timings, *cell.twins] if is_timed(run)]
        typical = np.median([step_s(run) for run in runs]) if runs else 1.0
        name = cell.cell.scenario.label
        axes.plot([run.position for run in runs], [step_s(run) / typical for run in runs], "o",
                  ms=3.5, alpha=0.75, color=COLOURS[scenarios.index(name) % len(COLOURS)],
                  label=name)  # fmt: skip
    axes.axhline(1, color="black", lw=0.6)
    axes.set_xlabel("position in the schedule")
    axes.set_title("Time per step of every run, against its cell's median")
    unique = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    canvas.legend(unique.values(), unique.keys(), loc="outside right upper", frameon=False)
    return finished(
        canvas,
        "schedule",
        "Every run by schedule position",
        "Each point is one timing run. A slope is a machine that drifts, which pairing by block "
        "takes out; a high point is a run that something disturbed.",
    )


def price_of_distance(study: StudyEvidence, table: pd.DataFrame) -> Figure | None:  # noqa: ARG001
    """Distance of final weights against cost: what is bought, for how much."""
    rows = table[~table["twin"] & (table["same_as"] == "") & (table["trace_runs"] > 1)
                 & (table["timing_runs"] > 0) & table["weight_rel_l2"].notna()]  # fmt: skip
    if rows.empty:
        return None
    canvas = Canvas(figsize=(10, 3.6))
    axes = canvas.subplots()
    scenarios = list(dict.fromkeys(rows["scenario"]))
    settings = list(dict.fromkeys(rows["determinism"]))
    for row in rows.to_dict("records"):
        colour = COLOURS[scenarios.index(row["scenario"]) % len(COLOURS)]
        axes.plot(1.0 if pd.isna(row["cost_ratio"]) else row["cost_ratio"], row["weight_rel_l2"],
                  marker="osD^v<>PX*"[settings.index(row["determinism"]) % 10], ms=7, alpha=0.8,
                  clip_on=False,  # equal weights lie on the axis itself
                  color=colour, mfc="white" if varies_with_equal_weights(row) else colour,
                  ls="none", label=f"{row['scenario']}, {row['determinism']}")  # fmt: skip
    set_scale_from_zero(axes)
    axes.axvline(1, color="black", lw=0.6)
    axes.set_xlabel("time per step against the baseline")
    axes.set_title("Distance of final weights, ‖w−w₁‖/‖w₁‖")
    canvas.legend(loc="outside right upper", frameon=False, fontsize=7,
                  ncols=1 + len(rows) // 18)  # fmt: skip
    return finished(
        canvas,
        "reproducibility",
        "Reproducibility against cost",
        "On the bottom line the trainings that were compared ended with the same weights; further "
        "up they ended further apart. Hollow: the cell varies all the same, in another outcome or "
        "in a timing run, whose weights nobody keeps. To the left is cheaper.",
    )


def varies_with_equal_weights(row: dict[Hashable, Any]) -> bool:
    return bool(row["weight_rel_l2"] == 0 and Verdict(row["verdict"]).differs)


def looks(cells: list[CellEvidence]) -> list[dict[str, str]]:
    """A colour for each scenario, a dash for each setting."""
    scenarios = list(dict.fromkeys(cell.cell.scenario.label for cell in cells))
    settings = list(dict.fromkeys(cell.cell.setting for cell in cells))
    dashes = ("-", "--", ":", "-.")
    return [
        {
            "color": COLOURS[scenarios.index(cell.cell.scenario.label) % len(COLOURS)],
            "linestyle": dashes[settings.index(cell.cell.setting) % len(dashes)],
        }
        for cell in cells
    ]


def finished(canvas: Canvas, name: str, title: str, caption: str) -> Figure:
    buffer = io.StringIO()
    canvas.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return Figure(name, title, caption, Markup(text[text.index("<svg") :]))  # noqa: S704
