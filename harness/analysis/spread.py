"""Spread of the final loss, accuracy, predictions and weights of a cell's trainings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.analysis.study_data import CellData
from harness.core.record import Repeat
from harness.core.verdict import outcome_key


@dataclass(frozen=True)
class Spread:
    """Spread over the trainings that `_compared_trainings` returns; NaN if unknown."""

    compared: int  # trainings that the figures below are of
    loss_mean: float  # of the last loss
    loss_spread: float  # (max - min) / |mean| of the last loss
    loss_sd_rel: float  # standard deviation / |mean|
    accuracy_mean: float  # on held-out data, 0 to 1
    accuracy_sd: float
    churn: float  # share of predicted classes that differ, averaged over pairs of trainings
    weight_rel_l2: float  # largest ||w - w1|| / ||w1|| of final parameters; w1: first run
    weight_max_ulp: float
    weight_differing: float  # largest share of elements whose bits differ


def measure_spread(cell: CellData) -> Spread:
    trainings = _compared_trainings(cell)
    losses = np.array([float(repeat.losses[-1]) for repeat in trainings if repeat.losses])
    accuracies = np.array([r.accuracy for r in trainings if r.accuracy is not None])
    predictions = [
        np.asarray(repeat.predictions, dtype=object)
        for repeat in trainings
        if repeat.predictions and are_classes(repeat.predictions)
    ]
    weights = _final_distances(cell)
    return Spread(
        compared=len(trainings),
        loss_mean=float(losses.mean()) if len(losses) else np.nan,
        loss_spread=_relative_to_mean(float(np.ptp(losses)) if len(losses) > 1 else np.nan, losses),
        loss_sd_rel=_relative_to_mean(_sd(losses), losses),
        accuracy_mean=float(accuracies.mean()) if len(accuracies) else np.nan,
        accuracy_sd=_sd(accuracies),
        churn=churn(predictions),
        weight_rel_l2=weights[0],
        weight_max_ulp=weights[1],
        weight_differing=weights[2],
    )


def are_classes(predictions: Sequence[Any]) -> bool:
    """Whether predictions are classes; real numbers that differ in a bit are not another answer."""
    return not any(issubclass(kind, float) for kind in set(map(type, predictions)))


def _compared_trainings(cell: CellData) -> list[Repeat]:
    """Return all trainings if repeats of a run differ, else the first training of each run."""
    runs = cell.completed
    if any(len({outcome_key(repeat) for repeat in run.repeats}) > 1 for run in runs):
        return [repeat for run in runs for repeat in run.repeats]
    return [run.repeats[0] for run in runs]


def _sd(values: npt.NDArray[np.float64]) -> float:
    if len(values) < 2:
        return float("nan")
    return 0.0 if (values == values[0]).all() else float(values.std(ddof=1))


def _relative_to_mean(figure: float, losses: npt.NDArray[np.float64]) -> float:
    if figure == 0:
        return 0.0
    mean = abs(losses.mean()) if len(losses) else 0.0
    return float(figure / mean) if mean else float("nan")


def churn(predictions: Sequence[npt.NDArray[np.object_]]) -> float:
    """Return the mean share of predictions that differ between two trainings, 0 to 1.

    This is the churn of Milani Fard et al. (2016). NaN with fewer than two trainings or without
    predictions; 1 if the numbers of predictions differ.
    """
    if len(predictions) < 2 or len(predictions[0]) == 0:
        return float("nan")
    if any(len(row) != len(predictions[0]) for row in predictions):
        return 1.0
    table = np.stack(predictions)
    if (table == table[0]).all():
        return 0.0
    return float(np.mean([_differing_pairs(column) for column in table.T]))


def _differing_pairs(values: npt.NDArray[np.object_]) -> float:
    """The share of pairs of values that differ, from how often each value occurs."""
    equal = sum(count * (count - 1) for count in Counter(values).values())
    return 1 - equal / (len(values) * (len(values) - 1))


def _final_distances(cell: CellData) -> tuple[float, float, float]:
    """Return the largest relative L2, ulp and differing share; zeros if all snapshots match."""
    compared = [repeat for _, repeat in cell.trainings() if repeat.snapshots]
    if len(compared) < 2 or cell.unmeasured:  # not compared: unknown, not 0
        return (np.nan, np.nan, np.nan)
    rows = [(0.0, 0.0, 0.0)]
    for run in cell.completed:
        for steps in cell.trajectories(run) or []:
            last = steps[max(steps, key=int)]
            rows.append((float(last["rel_l2"]), float(last["max_ulp"]), float(last["differing"])))
    l2, ulp, differing = np.array(rows).max(axis=0).tolist()  # NaN weights stay NaN
    return l2, ulp, differing
