"""How far apart the trainings of one cell end: loss, accuracy, predictions, weights."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from harness.analysis.study_data import CellData
from harness.core.record import Repeat
from harness.core.verdict import outcome_key

BOUND_LEVEL = 0.95


@dataclass(frozen=True)
class Spread:
    """Over the trainings that `compared` gives; NaN where unknown."""

    loss_spread: float  # (max - min) / |mean| of the last loss
    loss_sd_rel: float  # standard deviation / |mean|
    accuracy_sd: float
    churn: float  # mean over pairs of the share of predictions that differ
    weight_rel_l2: float  # largest ||w - w1|| / ||w1||, of final parameters against the first's
    weight_max_ulp: float
    weight_differing: float  # largest share of elements whose bits differ


def measure_spread(cell: CellData) -> Spread:
    trainings = _compared_trainings(cell)
    losses = np.array([float(one.losses[-1]) for one in trainings if one.losses])
    accuracies = np.array([one.accuracy for one in trainings if one.accuracy is not None])
    predictions = [
        np.asarray(one.predictions, dtype=object) for one in trainings if one.predictions
    ]
    weights = _final_distances(cell)
    return Spread(
        loss_spread=_relative_to_mean(float(np.ptp(losses)) if len(losses) > 1 else np.nan, losses),
        loss_sd_rel=_relative_to_mean(_sd(losses), losses),
        accuracy_sd=_sd(accuracies),
        churn=churn(predictions),
        weight_rel_l2=weights[0],
        weight_max_ulp=weights[1],
        weight_differing=weights[2],
    )


def _compared_trainings(cell: CellData) -> list[Repeat]:
    """All trainings where repeats differ; else one a run, for equal repeats tell nothing new."""
    runs = cell.completed
    if any(len({outcome_key(one) for one in run.repeats}) > 1 for run in runs):
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
    """Disagreement, 0 where all trainings predict alike (Milani Fard et al. 2016's churn)."""
    if len(predictions) < 2 or len(predictions[0]) == 0:
        return float("nan")
    if any(len(one) != len(predictions[0]) for one in predictions):
        return 1.0
    table = np.stack(predictions)
    if (table == table[0]).all():
        return 0.0
    pairs = itertools.combinations(table, 2)
    return float(np.mean([np.mean(one != other) for one, other in pairs]))


def _final_distances(cell: CellData) -> tuple[float, float, float]:
    """Largest relative L2, ulp and differing share; zero where every snapshot was the same."""
    if len(list(cell.trainings())) < 2 or cell.unmeasured:  # nothing was compared: not 0
        return (np.nan, np.nan, np.nan)
    rows = [(0.0, 0.0, 0.0)]
    for run in cell.completed:
        for steps in cell.trajectories(run) or []:
            last = steps[max(steps, key=int)]
            rows.append((float(last["rel_l2"]), float(last["max_ulp"]), float(last["differing"])))
    l2, ulp, differing = np.array(rows).max(axis=0).tolist()  # NaN weights stay NaN
    return l2, ulp, differing


def divergence_rate_upper(differing: int, comparisons: int) -> float:
    """One-sided 95 % Clopper–Pearson upper bound on the chance that a fresh run differs.

    0 of 29 gives 9.8 %; without a comparison nothing is known and the bound is 1.
    """
    if comparisons == 0:
        return 1.0
    test = stats.binomtest(differing, comparisons, alternative="less")
    return float(test.proportion_ci(BOUND_LEVEL, method="exact").high)
