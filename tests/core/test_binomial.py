"""Binomial bounds computed without SciPy equal SciPy's."""

from __future__ import annotations

import pytest
from scipy import stats

from harness.core.binomial import (
    CHANCE_LIMIT,
    divergence_rate_lower,
    divergence_rate_upper,
    runs_for_fix,
)


@pytest.mark.parametrize(("differing", "comparisons"), [(0, 9), (1, 9), (5, 9), (9, 9), (3, 29)])
def test_the_lower_bound_is_scipys(differing: int, comparisons: int) -> None:
    """The one-sided Clopper–Pearson lower bound agrees to 1e-12."""
    test = stats.binomtest(differing, comparisons, alternative="greater")
    expected = test.proportion_ci(0.95, method="exact").low
    assert divergence_rate_lower(differing, comparisons) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("differing", "comparisons"), [(0, 9), (1, 9), (5, 9), (9, 9), (3, 29)])
def test_the_upper_bound_is_scipys(differing: int, comparisons: int) -> None:
    """The one-sided Clopper–Pearson upper bound agrees to 1e-12."""
    test = stats.binomtest(differing, comparisons, alternative="less")
    expected = test.proportion_ci(0.95, method="exact").high
    assert divergence_rate_upper(differing, comparisons) == pytest.approx(expected, abs=1e-12)


def test_the_upper_bound_of_runs_that_agree() -> None:
    """After 10 runs without a difference another one may differ with probability 28 %."""
    assert divergence_rate_upper(0, 9) == pytest.approx(0.283, abs=5e-4)


def test_the_rate_is_bounded_if_no_run_diverges() -> None:
    """If none of 29 runs diverges, the bound of the divergence rate is 9.8 %."""
    assert divergence_rate_upper(0, 29) == pytest.approx(0.0982, abs=5e-4)


def test_the_rate_is_unbounded_without_agreement() -> None:
    """The bound is 1 if every run diverges, or if there are none."""
    assert divergence_rate_upper(5, 5) == 1.0
    assert divergence_rate_upper(0, 0) == 1.0
    assert divergence_rate_upper(0, -1) == 1.0  # of no run at all


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.7, 0.99])
def test_a_fix_needs_the_fewest_runs_that_chance_explains_once_in_a_hundred(rate: float) -> None:
    """One run fewer would agree by chance more often than CHANCE_LIMIT."""
    needed = runs_for_fix(rate, 1000)
    assert needed is not None
    assert (1 - rate) ** (needed - 1) <= CHANCE_LIMIT < (1 - rate) ** (needed - 2)


def test_a_fix_that_needs_too_many_runs_is_not_tried() -> None:
    """Rare or absent differences need more runs than allowed; certain ones need two."""
    assert runs_for_fix(0.05, 30) is None
    assert runs_for_fix(0.0, 30) is None
    assert runs_for_fix(1.0, 30) == 2
