"""Figures of divergence: the losses of two trainings, and distances by step."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure as Canvas

from harness.analysis.study_data import CellData, StudyData
from harness.core.spec import Noise
from harness.report.plot_base import COLORS, Figure, set_scale_from_zero, to_figure

PANELS = 3  # of `two_runs`
Losses = npt.NDArray[np.float64]


def two_runs(study: StudyData, table: pd.DataFrame) -> Figure | None:  # noqa: ARG001
    """The losses of the first training and of the one furthest from it."""
    cells = [
        cell
        for cell in study.cells
        if cell.same_as is None
        and cell.trace_judgement.verdict.differs
        and _loss_rows(cell).shape[1] > 1
    ]
    if not cells:
        return None
    chosen = _choose_cells(cells)
    canvas = Canvas(figsize=(10, 2.8))
    for axes, cell in zip(canvas.subplots(1, len(chosen), squeeze=False)[0], chosen, strict=True):
        first, furthest = _first_and_furthest(cell)
        steps = np.arange(1, len(first) + 1)
        axes.plot(steps, first, color=COLORS[0], lw=2.2, label="first training")
        axes.plot(steps, furthest, color=COLORS[1], lw=1.1, label="training furthest from it")
        noise = "" if cell.cell.noise is Noise.none else f", noise={cell.cell.noise}"
        axes.set_title(f"{cell.cell.scenario.title}, {cell.cell.setting}{noise}: loss")
        axes.set_xlabel("step")
    canvas.legend(
        *canvas.axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
    return to_figure(
        canvas,
        "two_runs",
        "Losses of two trainings",
        "The loss of the first training of a cell, and of the training whose loss lies furthest "
        "from it. Where one line hides the other, they differ by less than its width. At most "
        f"{PANELS} scenarios are shown, each with the cell that diverges most; cells with a fixed "
        "seed take precedence.",
    )


def _choose_cells(cells: list[CellData]) -> list[CellData]:
    """Choose one cell per scenario; prefer a fixed seed, then the largest distance."""

    def rank(cell: CellData) -> tuple[bool, float]:
        has_one_seed = cell.cell.determinism.seed is not None and not cell.cell.noise.varies_seed
        return not has_one_seed, -_largest_distance(*_first_and_furthest(cell))

    chosen: dict[str, CellData] = {}
    for cell in sorted(cells, key=rank):
        chosen.setdefault(cell.cell.scenario.title, cell)
    return list(chosen.values())[:PANELS]


def _largest_distance(first: Losses, other: Losses) -> float:
    """Largest distance at any step; NaN counts as 0."""
    return float(np.nan_to_num(np.abs(other - first)).max())


def _first_and_furthest(cell: CellData) -> tuple[Losses, Losses]:
    """Losses by step of the first training and of the one furthest from it at any step."""
    first, *others = _loss_rows(cell)
    return first, max(others, key=lambda losses: _largest_distance(first, losses))


def divergence(study: StudyData, table: pd.DataFrame) -> Figure | None:  # noqa: ARG001
    """Largest distance of any training from the first one, by step, for each cell that varies."""
    varying = [
        cell
        for cell in study.cells
        if cell.same_as is None
        and cell.trace_judgement.verdict.differs
        and cell.completed[0].repeats[0].steps
    ]
    if not varying:
        return None
    canvas = Canvas(figsize=(10, 3.8))
    weights, losses = canvas.subplots(1, 2)
    for cell, style in zip(varying, _line_styles(varying), strict=True):
        label = f"{cell.cell.scenario.title}, {cell.cell.setting}"
        weights.plot(*_weight_curve(cell), marker="o", markersize=3, label=label, **style)
        losses.plot(*_loss_curve(cell), label=label, **style)
    for axes, measure in ((weights, "weights, ‖w−w₁‖/‖w₁‖"), (losses, "loss, |l−l₁|/|l₁|")):
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda step, _: f"{step:g}")
        set_scale_from_zero(axes)
        axes.set_xlabel("step")
        axes.set_title(f"Largest distance from the first training: {measure}")
    canvas.legend(
        *weights.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=min(4, len(varying)),
        frameon=False,
    )
    return to_figure(
        canvas,
        "divergence",
        "Divergence by step",
        "Largest distance of any training from the first one, by step, for every cell that varies. "
        "A point on the bottom line is exactly 0.",
    )


def _weight_curve(cell: CellData) -> tuple[list[int], list[float]]:
    by_step: dict[int, list[float]] = {}
    for run in cell.completed:
        for steps in cell.trajectories(run) or []:
            for step, distance in steps.items():
                by_step.setdefault(int(step), []).append(float(distance["rel_l2"]))
    points = sorted(by_step.items())
    return [step for step, _ in points], [float(np.max(all_)) for _, all_ in points]  # NaN: a gap


def _loss_curve(cell: CellData) -> tuple[list[int], list[float]]:
    table = _loss_rows(cell)
    if not table.size:  # a step of one training has no loss
        return [], []
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.abs(table - table[0]).max(axis=0) / np.abs(table[0])
    return list(range(1, len(relative) + 1)), relative.tolist()


def _loss_rows(cell: CellData) -> Losses:
    """Losses, of shape (trainings, steps), cut to the shortest training."""
    rows = [[float(loss) for loss in repeat.losses] for _, repeat in cell.trainings()]
    steps = min(map(len, rows))
    return np.array([row[:steps] for row in rows])


def _line_styles(cells: list[CellData]) -> list[dict[str, str]]:
    """Return a color for each scenario and a dash pattern for each setting."""
    scenarios = list(dict.fromkeys(cell.cell.scenario.title for cell in cells))
    settings = list(dict.fromkeys(cell.cell.setting for cell in cells))
    dashes = ("-", "--", ":", "-.")
    return [
        {
            "color": COLORS[scenarios.index(cell.cell.scenario.title) % len(COLORS)],
            "linestyle": dashes[settings.index(cell.cell.setting) % len(dashes)],
        }
        for cell in cells
    ]
