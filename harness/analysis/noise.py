"""Sources of variance: the spread of a training when a single source of noise varies.

The variances need not add up: a training that diverges when only its last bits differ diverges no
less when its seed changes (Zhuang et al., "Randomness in neural network training", MLSys 2022).
"""

from __future__ import annotations

import math

import pandas as pd
import scipy  # which loads scipy.stats when it is first used: a second

MEASURES = (
    "differ",
    "differ_of",
    "steps",
    "loss_mean",
    "loss_sd_rel",
    "accuracy_mean",
    "accuracy_sd",
    "churn",
    "weight_rel_l2",
)
KEYS = ("scenario", "overrides", "device", "noise", "cell", "trace_runs")


def noise_table(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the cell table that have a source of noise.

    ``accuracy_sd_low`` and ``accuracy_sd_high`` bound the standard deviation with 95 % confidence,
    using the chi-squared distribution of the variance of normal accuracies.
    """
    rows = cells[~cells["twin"] & (cells["noise"] != "")]
    if rows.empty:
        return pd.DataFrame()
    intervals = [
        sd_interval(float(sd), int(trainings))
        for sd, trainings in zip(rows["accuracy_sd"], rows["compared"], strict=True)
    ]
    table = rows[[*KEYS, *MEASURES]].assign(
        accuracy_sd_low=[low for low, _ in intervals],
        accuracy_sd_high=[high for _, high in intervals],
    )
    return table.sort_values(["scenario", "overrides", "device"], kind="stable")


def sd_interval(sd: float, runs: int, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of the sd of ``runs`` normal values.

    NaN for fewer than two runs, and for equal values, which are not normal.
    """
    if runs < 2 or math.isnan(sd) or sd == 0:
        return math.nan, math.nan
    freedom = runs - 1
    low, high = scipy.stats.chi2.ppf([(1 + level) / 2, (1 - level) / 2], freedom)
    return sd * (freedom / low) ** 0.5, sd * (freedom / high) ** 0.5
