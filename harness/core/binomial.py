"""Exact binomial bounds on the probability that a fresh run differs (Clopper and Pearson, 1934).

Standard library only; tests/core/test_binomial.py compares the results with SciPy's.
"""

from __future__ import annotations

import math

LEVEL = 0.95
CHANCE_LIMIT = 0.01  # accepted probability that runs which still vary all agree by chance
HALVINGS = 60  # bisects [0, 1] to the last bit of a double


def divergence_rate_lower(differing: int, comparisons: int) -> float:
    """One-sided 95 % Clopper–Pearson lower bound on the probability that a fresh run differs.

    Comparisons are with one process that has the most frequent result.
    """
    if differing == 0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        too_high = _binomial_tail(differing, comparisons, middle) > 1 - LEVEL
        low, high = (low, middle) if too_high else (middle, high)
    return low


def divergence_rate_upper(agreeing: int, cells: int = 1) -> float:
    """One-sided 95 % Clopper–Pearson upper bound on the probability that a fresh process differs.

    ``agreeing`` processes all have one result. The first sets what the others are compared with, so
    the bound is 1 - 0.05^(1 / (n - 1)): 9.8 % for n = 30. With ``cells``, the bounds of so many
    cells hold together (Bonferroni): 17.7 % for 14 cells. It is 1 for fewer than two processes.
    """
    if agreeing < 2:
        return 1.0
    return float(1 - ((1 - LEVEL) / cells) ** (1 / (agreeing - 1)))


def _binomial_tail(successes: int, trials: int, probability: float) -> float:
    """Probability of at least ``successes`` in ``trials``."""
    p, q = probability, 1 - probability
    return sum(
        math.comb(trials, k) * p**k * q ** (trials - k) for k in range(successes, trials + 1)
    )


def runs_for_fix(rate: float, most: int) -> int | None:
    """The fewest identical runs n that confirm a fix, or None if that exceeds ``most``.

    They confirm it if (1 - rate)^(n - 1) ≤ CHANCE_LIMIT; an untreated run differs at ``rate``.
    """
    if rate >= 1:
        return 2
    if rate <= 0:
        return None
    needed = 1 + math.ceil(math.log(CHANCE_LIMIT) / math.log1p(-rate))
    return needed if needed <= most else None
