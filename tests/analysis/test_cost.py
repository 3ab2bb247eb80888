"""Intervals and labels of costs, on simulated machines whose true cost is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from harness.analysis.cost import (
    POWER,
    Ratio,
    TwinCheck,
    blocks_needed,
    check_twin,
    cost_label,
    paired_ratio,
    pool_arms,
    simultaneous_level,
    smallest_detectable,
)

STUDIES = 400
SPREAD = 0.01  # sd of ln(time) between processes
DRIFT = 0.02  # sd of the change of ln(time) from block to block, equal for all runs of a block

Times = dict[int, float]


def simulate_times(
    random: np.random.Generator, blocks: int, slowdown: float = 1.0
) -> tuple[Times, ...]:
    """Seconds per step of a cell, its baseline and the baseline's twin on a drifting machine."""
    level = np.exp(random.normal(0, DRIFT, blocks).cumsum())
    noise = np.exp(random.normal(0, SPREAD, (3, blocks)))
    times = 0.01 * level * noise * np.array([[slowdown], [1.0], [1.0]])
    return tuple(dict(enumerate(row.tolist(), 1)) for row in times)


def compute_ratio(cell: Times, baseline: Times) -> Ratio:
    ratio = paired_ratio(cell, baseline)
    assert ratio is not None
    return ratio


def simulate_studies(seed: int, blocks: int, slowdown: float = 1.0) -> list[tuple[Ratio, Ratio]]:
    """The ratios of a cell and of the twin to the baseline, for each study."""
    random = np.random.default_rng(seed)
    ratios = []
    for _ in range(STUDIES):
        cell, baseline, twin = simulate_times(random, blocks, slowdown)
        ratios.append((compute_ratio(cell, baseline), compute_ratio(twin, baseline)))
    return ratios


def label_alone(ratio: Ratio, twin: Ratio) -> str:
    """The label of a study's only cost."""
    return cost_label(ratio, ratio, twin)


@pytest.mark.parametrize("blocks", [4, 10, 20])
def test_intervals_of_equal_code_contain_1(blocks: int) -> None:
    """The interval of equal code contains 1 in 95 % of studies, for any number of blocks."""
    covered = sum(not ratio.excludes_one() for ratio, _ in simulate_studies(1, blocks))
    low, high = stats.binom.interval(0.99, STUDIES, 0.95)
    assert low <= covered <= high


def simulate_steps(random: np.random.Generator, runs: int) -> np.ndarray:
    """ln of the times of 50 steps in each run of one cell: runs differ, and so do their steps."""
    between = random.normal(0, SPREAD, (runs, 1))
    return between + random.normal(0, 2 * SPREAD, (runs, 50))


def test_pooled_steps_call_equal_code_different() -> None:
    """A t-test over all steps of five runs finds a difference in over a third of studies."""
    random = np.random.default_rng(6)
    wrong = sum(
        stats.ttest_ind(*(simulate_steps(random, 5).ravel() for _ in range(2))).pvalue < 0.05
        for _ in range(STUDIES)
    )
    assert wrong > STUDIES / 3


def test_a_bootstrap_of_few_blocks_is_too_narrow() -> None:
    """A nominal 95 % bootstrap interval of five blocks excludes equality in over 10 %."""
    random = np.random.default_rng(7)
    wrong = 0
    for _ in range(STUDIES):
        logs = random.normal(0, math.sqrt(2) * SPREAD, 5)
        means = random.choice(logs, (1000, 5)).mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        wrong += not low <= 0 <= high
    assert wrong > 0.1 * STUDIES


@pytest.mark.parametrize("blocks", [4, 10, 20])
def test_equal_code_is_seldom_called_different(blocks: int) -> None:
    """Equal code is called slower or faster in at most 5 % of studies."""
    called = sum(label_alone(*pair) in ("slower", "faster") for pair in simulate_studies(2, blocks))
    assert called <= 0.05 * STUDIES


def test_a_5_percent_slowdown_is_detected_with_10_blocks() -> None:
    """Ten blocks detect a planted slowdown of 5 % in at least 95 % of studies."""
    detected = sum(
        label_alone(*pair) == "slower" for pair in simulate_studies(3, 10, slowdown=1.05)
    )
    assert detected >= 0.95 * STUDIES


def test_a_planted_speedup_is_not_called_a_slowdown() -> None:
    """Studies call code that takes 10 % less time faster, and none calls it slower."""
    labels = {label_alone(*pair) for pair in simulate_studies(4, 10, slowdown=0.9)}
    assert "faster" in labels
    assert "slower" not in labels


def test_simultaneous_intervals_contain_1_together() -> None:
    """The simultaneous intervals of seven twins all contain 1 in at least 95 % of studies."""
    random = np.random.default_rng(5)
    clean = 0
    for _ in range(STUDIES):
        ratios = [
            paired_ratio(*simulate_times(random, 6)[1:], simultaneous_level(7)) for _ in range(7)
        ]
        clean += all(ratio and not ratio.excludes_one() for ratio in ratios)
    assert clean >= stats.binom.ppf(0.005, STUDIES, 0.95)


def test_a_constant_ratio_has_an_interval_of_no_width() -> None:
    """If every block takes twice as long, the ratio and both ends of its interval are 2."""
    ratio = paired_ratio({1: 2.0, 2: 4.0, 3: 6.0}, {1: 1.0, 2: 2.0, 3: 3.0})
    assert ratio is not None
    assert math.isclose(ratio.point, 2)
    assert math.isclose(ratio.low, 2)
    assert math.isclose(ratio.high, 2)
    assert ratio.blocks == 3


def test_the_interval_matches_scipy() -> None:
    """The interval equals the t interval that SciPy computes from the logarithms."""
    logs = np.log([1.1, 1.2, 1.4])
    ratio = paired_ratio({1: 1.1, 2: 1.2, 3: 1.4}, {1: 1.0, 2: 1.0, 3: 1.0})
    expected = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    assert ratio is not None
    assert np.allclose(np.log([ratio.low, ratio.high]), [expected.low, expected.high])


def test_only_common_blocks_are_paired() -> None:
    """Blocks that were timed for only one of the two cells do not count."""
    ratio = paired_ratio({1: 2.0, 2: 2.0, 9: 100.0}, {1: 1.0, 2: 1.0, 7: 0.001})
    assert ratio is not None
    assert (ratio.point, ratio.blocks) == (pytest.approx(2), 2)


def test_intervals_hold_if_the_scatter_decides_the_number_of_blocks() -> None:
    """Stein's interval contains 1 in 95 % of studies and is as narrow as requested.

    A t interval over all blocks, whose number depends on their own scatter, contains 1 less often.
    """
    random = np.random.default_rng(8)
    first, precision, most, covered, naive, narrow = 5, 0.01, 400, 0, 0, 0
    for _ in range(STUDIES * 5):
        cell = dict(enumerate(np.exp(random.normal(0, SPREAD, most)).tolist(), 1))
        base = dict.fromkeys(cell, 1.0)
        stage = {block: cell[block] for block in range(1, first + 1)}
        needed = blocks_needed(compute_ratio(stage, base), precision)
        assert needed <= most
        timed = {block: cell[block] for block in range(1, needed + 1)}
        ratio = paired_ratio(timed, base, first=first)
        assert ratio is not None
        covered += not ratio.excludes_one()
        narrow += ratio.half_width <= precision * 1.01
        naive += not compute_ratio(timed, base).excludes_one()
    low, high = stats.binom.interval(0.99, STUDIES * 5, 0.95)
    assert low <= covered <= high
    assert narrow == STUDIES * 5
    assert naive < covered


def test_one_block_has_no_interval() -> None:
    """A single block gives no ratio, since an interval needs at least two."""
    assert paired_ratio({1: 2.0}, {1: 1.0}) is None


def make_ratio(low: float, high: float) -> Ratio:
    return Ratio(math.sqrt(low * high), low, high, 10, 0.01, 9)


@pytest.mark.parametrize(
    ("cell", "twin", "label"),
    [
        ((1.10, 1.20), (0.98, 1.02), "slower"),
        ((0.80, 0.90), (0.98, 1.02), "faster"),
        ((0.97, 1.03), (0.98, 1.02), "within ±5 %"),
        ((0.80, 1.25), (0.98, 1.02), "cannot tell (± 22.5 %)"),
        ((1.01, 1.03), (0.96, 1.04), "within ±5 %"),  # no further from 1 than equal code
        ((1.02, 1.30), (0.80, 1.25), "cannot tell (± 14.0 %)"),
    ],
)
def test_the_intervals_decide_the_label(
    cell: tuple[float, float], twin: tuple[float, float], label: str
) -> None:
    """The label of a cost follows from its interval and from the interval of the twin."""
    ratio = make_ratio(*cell)
    assert cost_label(ratio, ratio, make_ratio(*twin)) == label


def test_a_difference_must_hold_for_all_costs_together() -> None:
    """An interval that excludes 1 alone, but not together with the others', gives no label."""
    alone, together, twin = make_ratio(1.06, 1.2), make_ratio(0.99, 1.3), make_ratio(0.99, 1.01)
    assert cost_label(alone, alone, twin) == "slower"
    assert cost_label(alone, together, twin) == "cannot tell (± 15.5 %)"


def test_both_arms_of_a_baseline_count() -> None:
    """A block has the geometric mean of the arms that were timed in it."""
    pooled = pool_arms({1: 2.0, 2: 3.0}, {1: 8.0, 3: 5.0})
    assert pooled == pytest.approx({1: 4.0, 2: 3.0, 3: 5.0})


@pytest.mark.parametrize(
    ("interval", "check"),
    [
        ((0.95, 1.05), TwinCheck.passed),
        ((0.80, 1.05), TwinCheck.inconclusive),
        ((1.01, 1.05), TwinCheck.failed),
        ((1.20, 1.50), TwinCheck.failed),
    ],
)
def test_a_twin_is_judged_by_its_interval(interval: tuple[float, float], check: TwinCheck) -> None:
    """A twin fails if its interval excludes 1, and passes if it lies within ±10 %."""
    assert check_twin(make_ratio(*interval)) is check


@pytest.mark.parametrize("costs", [1, 14, 50])
def test_the_smallest_detectable_cost_has_80_percent_power(costs: int) -> None:
    """Four of five studies label a cost of that size `slower`, by the rule of the label."""
    blocks, random = 10, np.random.default_rng(6)
    quiet = Ratio(1.0, 1.0, 1.0, blocks, SPREAD * math.sqrt(2), blocks - 1)
    slowdown = 1 + smallest_detectable(quiet, costs)
    labels = []
    for _ in range(STUDIES):
        cell, baseline, twin = simulate_times(random, blocks, slowdown)
        pooled = pool_arms(baseline, twin)
        together = paired_ratio(cell, pooled, simultaneous_level(costs))
        labels.append(
            cost_label(compute_ratio(cell, pooled), together, compute_ratio(twin, baseline))
        )
    low, high = stats.binom.interval(0.99, STUDIES, POWER)
    margin = 0.03 * STUDIES  # the formula is an approximation
    assert low - margin <= labels.count("slower") <= high + margin
