"""Where variance comes from: the spread of one training by the source that was let vary.

The variances need not add up: a training that the machine's last bits tear apart is torn apart by
a seed no less (Zhuang et al., "Randomness in neural network training", MLSys 2022).
"""

from __future__ import annotations

import math

import pandas as pd
from scipy import stats

MEASURES = ("loss_sd_rel", "accuracy_sd", "churn", "weight_rel_l2")
KEYS = ("scenario", "overrides", "device", "noise", "cell", "trace_runs")


def noise_table(cells: pd.DataFrame) -> pd.DataFrame:
    """A row for each cell with a source of noise, of the cell table; none where there is none.

    The columns of ``MEASURES`` are the cell table's. ``accuracy_sd_low`` and ``_high`` bound the
    standard deviation with 95 % confidence, from the chi-squared distribution of a variance of
    normal accuracies.
    """
    rows = cells[~cells["twin"] & (cells["noise"] != "")]
    if rows.empty:
        return pd.DataFrame()
    intervals = [
        sd_interval(float(sd), int(runs))
        for sd, runs in zip(rows["accuracy_sd"], rows["trace_runs"], strict=True)
    ]
    found = rows[[*KEYS, *MEASURES]].assign(
        accuracy_sd_low=[low for low, _ in intervals],
        accuracy_sd_high=[high for _, high in intervals],
    )
    return found.sort_values(["scenario", "overrides", "device"], kind="stable")


def sd_interval(sd: float, runs: int, level: float = 0.95) -> tuple[float, float]:
    """Of the standard deviation of ``runs`` normal values; NaN below two runs."""
    if runs < 2 or math.isnan(sd):
        return math.nan, math.nan
    freedom = runs - 1
    low, high = stats.chi2.ppf([(1 + level) / 2, (1 - level) / 2], freedom)
    return sd * (freedom / low) ** 0.5, sd * (freedom / high) ** 0.5
