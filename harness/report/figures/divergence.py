"""Figures of divergence: the losses of two trainings, and distances by step."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure as Canvas

from harness.analysis.study_data import CellData, StudyData
from harness.core.spec import Noise
from harness.report.figures.base import COLORS, INK, Figure, set_scale_from_zero, shorten, to_figure
from harness.report.format import plural

PANELS = 3  # of `two_runs`
MOST_CURVES = 12  # of `divergence`
YARDSTICK = (
    " The yardstick, in the color of the text: trainings that differ in one bit of one initial "
    "weight, which is the least that any difference in arithmetic can do."
)
Losses = npt.NDArray[np.float64]


def two_runs(study: StudyData, table: pd.DataFrame) -> Figure | None:
    """The losses of the first training and of the one furthest from it.

    ``table`` has the labels of the cells.
    """
    labels = _labels(table)
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
        axes.set_title(f"{shorten(labels[cell.id], 30)}: loss")
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
        return not _has_one_seed(cell), -float(_largest_distance(*_first_and_furthest(cell)))

    chosen: dict[str, CellData] = {}
    for cell in sorted(cells, key=rank):
        chosen.setdefault(cell.cell.scenario.title, cell)
    return list(chosen.values())[:PANELS]


def _largest_distance(first: Losses, other: Losses) -> Losses:
    """Largest distance at any step, of each training if ``other`` has many; NaN counts as 0."""
    return np.asarray(np.nan_to_num(np.abs(other - first)).max(axis=-1))


def _first_and_furthest(cell: CellData) -> tuple[Losses, Losses]:
    """Losses by step of the first training and of the one furthest from it at any step."""
    table = _loss_rows(cell)
    first, others = table[0], table[1:]
    return first, others[_largest_distance(first, others).argmax()]


def divergence(study: StudyData, table: pd.DataFrame) -> Figure | None:
    """Largest distance of any training from the first one, by step, for cells that vary.

    ``table`` has the labels of the cells.
    """
    varying = [
        cell
        for cell in study.cells
        if cell.same_as is None
        and cell.trace_judgement.verdict.differs
        and cell.completed[0].repeats[0].steps
    ]
    if not varying:
        return None
    chosen = {cell.id for cell in sorted(varying, key=_importance)[-MOST_CURVES:]}
    shown = [cell for cell in varying if cell.id in chosen]
    labels = _labels(table)
    canvas = Canvas(figsize=(10, 3.8))
    weights, losses = canvas.subplots(1, 2)
    for cell, style in zip(shown, _line_styles(shown), strict=True):
        label = f"{shorten(labels[cell.id])}{' (yardstick)' * _is_yardstick(cell)}"
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
        ncols=min(3, len(shown)),
        frameon=False,
        fontsize=8,
    )
    others = len(varying) - len(shown)
    return to_figure(
        canvas,
        "divergence",
        "Divergence by step",
        "Largest distance of any training from the first one, by step, for each cell that varies. "
        "A point on the bottom line is exactly 0."
        + YARDSTICK * any(map(_is_yardstick, shown))
        + f" {plural(others, 'cell')} without a fixed seed, or with smaller distances, left out."
        * (others > 0),
    )


def _labels(table: pd.DataFrame) -> dict[str, str]:
    """Return scenario and setting of each cell."""
    rows = table[~table["twin"]].to_dict("records")
    return {row["cell"]: f"{row['scenario']}, {row['determinism']}" for row in rows}


def _is_yardstick(cell: CellData) -> bool:
    return cell.cell.noise is Noise.bit_flip


def _importance(cell: CellData) -> tuple[bool, bool, float]:
    """Sorts yardsticks last; before them, cells with a fixed seed, and great distances."""
    distances = [distance for distance in _weight_curve(cell)[1] if np.isfinite(distance)]
    return _is_yardstick(cell), _has_one_seed(cell), max(distances, default=0.0)


def _has_one_seed(cell: CellData) -> bool:
    return cell.cell.determinism.seed is not None and not cell.cell.noise.varies_seed


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
    rows = [np.array(repeat.losses, dtype=np.float64) for _, repeat in cell.trainings()]
    steps = min(map(len, rows))
    return np.array([row[:steps] for row in rows])


def _line_styles(cells: list[CellData]) -> list[dict[str, str]]:
    """Return a color for each scenario and a dash pattern for each setting."""
    scenarios = list(dict.fromkeys(cell.cell.scenario.title for cell in cells))
    settings = list(dict.fromkeys(cell.cell.setting for cell in cells))
    colors, dashes = [color for color in COLORS if color != INK], ("-", "--", ":", "-.")
    return [
        {
            "color": INK
            if _is_yardstick(cell)
            else colors[scenarios.index(cell.cell.scenario.title) % len(colors)],
            "linestyle": dashes[settings.index(cell.cell.setting) % len(dashes)],
        }
        for cell in cells
    ]
