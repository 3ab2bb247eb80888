"""How sure a cure is, by exact binomial bounds. Standard library only: the asking side decides with
it how many runs are worth making; tests/analysis/test_rates.py holds it against SciPy.
"""

from __future__ import annotations

import math

LEVEL = 0.95
CHANCE_LIMIT = 0.01  # chance that runs which still vary all come out equal
HALVINGS = 60  # of an interval of length 1: to the last bit of a double


def divergence_rate_lower(differing: int, comparisons: int) -> float:
    """One-sided 95 % Clopper–Pearson lower bound on the chance that a fresh run differs."""
    if differing == 0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        too_high = _binomial_tail(differing, comparisons, middle) > 1 - LEVEL
        low, high = (low, middle) if too_high else (middle, high)
    return low


def divergence_rate_upper(identical: int) -> float:
    """One-sided 95 % Clopper–Pearson upper bound after ``identical`` runs with one result.

    The first run is the reference; of the n - 1 comparisons with it none differed, for which the
    bound is 1 - 0.05^(1 / (n - 1)).
    """
    return float(1 - (1 - LEVEL) ** (1 / max(1, identical - 1)))


def _binomial_tail(at_least: int, of: int, chance: float) -> float:
    """Chance of so many or more successes."""
    each = [math.comb(of, k) * chance**k * (1 - chance) ** (of - k) for k in range(of + 1)]
    return sum(each[at_least:])


def runs_for_fix(rate: float, most: int) -> int | None:
    """The fewest equal runs that show a cure: (1 - rate)^(n - 1) ≤ DOUBT; None above ``most``."""
    if rate >= 1:
        return 2
    if rate <= 0:
        return None
    needed = 1 + math.ceil(math.log(CHANCE_LIMIT) / math.log1p(-rate))
    return needed if needed <= most else None
