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


@pytest.mark.parametrize(("processes", "cells"), [(2, 1), (10, 1), (30, 1), (30, 14)])
def test_the_upper_bound_is_scipys(processes: int, cells: int) -> None:
    """The one-sided Clopper–Pearson upper bound agrees to 1e-12, also shared between cells."""
    test = stats.binomtest(0, processes - 1, alternative="less")
    expected = test.proportion_ci(1 - 0.05 / cells, method="exact").high
    assert divergence_rate_upper(processes, cells) == pytest.approx(expected, abs=1e-12)


def test_the_upper_bounds_that_reports_quote() -> None:
    """10 equal processes leave 28 %, 30 leave 9.8 %, and 14 cells of 30 together 17.7 %."""
    bounds = [divergence_rate_upper(*numbers) for numbers in ((10, 1), (30, 1), (30, 14))]
    assert bounds == pytest.approx([0.283, 0.0982, 0.1766], abs=5e-4)


def test_the_rate_is_unbounded_without_a_comparison() -> None:
    """One process, or none, has nothing to agree with."""
    assert divergence_rate_upper(1) == divergence_rate_upper(0) == 1.0


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
