"""Fisher's exact test agrees with SciPy's, and its false alarms are those that it states."""

from __future__ import annotations

import random

import pytest
from scipy.stats import fisher_exact

from harness.perturb.exact_test import fisher, p_value


@pytest.mark.parametrize("of_a", [2, 5, 9])
@pytest.mark.parametrize("of_b", [3, 10])
def test_the_p_value_is_that_of_scipy(of_a: int, of_b: int) -> None:
    """For every table with these margins."""
    for a in range(of_a + 1):
        for b in range(of_b + 1):
            expected = fisher_exact([[a, of_a - a], [b, of_b - b]]).pvalue
            assert fisher(a, of_a, b, of_b) == pytest.approx(expected)


def test_another_result_in_every_run_is_told_from_none() -> None:
    """Five perturbed runs with one other result, against ten that agree: one table in 3003."""
    assert p_value(["a"] * 10, ["b"] * 5) == pytest.approx(1 / 3003)
    assert p_value(["a"] * 10, list("bcdef")) == pytest.approx(1 / 3003)
    assert p_value(["a"] * 10, ["a"] * 5) == 1.0


def test_a_factor_that_makes_runs_agree_is_told_too() -> None:
    """All ten unperturbed runs differ from one another, and the perturbed ones agree."""
    assert p_value(list("abcdefghij"), ["k"] * 5) == pytest.approx(1 / 3003)


def test_runs_that_never_agree_tell_nothing() -> None:
    """Nothing distinguishes samples without any two equal results."""
    assert p_value(list("abcdefghij"), list("klmno")) > 0.3


@pytest.mark.parametrize("rates", [[0.5, 0.5], [0.8, 0.1, 0.1], [0.95, 0.05]])
def test_false_alarms_are_at_most_the_level(rates: list[float]) -> None:
    """For two samples from the same distribution, p ≤ 0.05 in at most 5 % of cases."""
    draw = random.Random(7)
    results = range(len(rates))
    alarms = sum(
        p_value(draw.choices(results, rates, k=10), draw.choices(results, rates, k=5)) <= 0.05
        for _ in range(4000)
    )
    assert alarms / 4000 < 0.055
