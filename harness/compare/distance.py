"""How far apart the same cell ends in two studies. Their parameters are no longer stored."""

from __future__ import annotations

import math

import numpy as np

from harness.analysis.spread import are_classes, churn
from harness.core.record import Repeat
from harness.report.format import figure, is_known, percent


def describe_distance(one: Repeat, other: Repeat) -> str:
    """The final losses, and the share of predicted classes that differ, as far as recorded."""
    parts = []
    losses = [float(repeat.losses[-1]) for repeat in (one, other) if len(repeat.losses)]
    if len(losses) == 2:
        parts.append(_describe_losses(*losses))
    share = _differing(one, other)
    if is_known(share):
        parts.append(f"{percent(share)} of predictions differ")
    return "; ".join(parts)


def _describe_losses(one: float, other: float) -> str:
    if one == other:
        return f"equal final losses ({figure(one)})"
    apart = abs(one - other)
    how_far = f"{apart:.1e} apart" if math.isfinite(apart) else "not comparable"
    return f"final losses {figure(one)} and {figure(other)}, {how_far}"


def _differing(one: Repeat, other: Repeat) -> float:
    """The churn between two trainings, 0 to 1; NaN if it is unknown."""
    rows = [one.predictions, other.predictions]
    if not all(row and are_classes(row) for row in rows):
        return math.nan
    return churn([np.array(row, dtype=object) for row in rows])
