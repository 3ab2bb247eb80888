"""Intervals and labels, against simulated machines whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from harness.analysis.cost import (
    Ratio,
    TwinCheck,
    check_twin,
    cost_label,
    paired_ratio,
    simultaneous_level,
    smallest_detectable,
)

STUDIES = 400
SPREAD = 0.01  # from process to process
DRIFT = 0.02  # from block to block, shared by all of a block's runs

Times = dict[int, float]


def simulated(random: np.random.Generator, blocks: int, slowdown: float = 1.0) -> tuple[Times, ...]:
    """Seconds a step of a cell, its baseline and the baseline's twin on a drifting machine."""
    level = np.exp(random.normal(0, DRIFT, blocks).cumsum())
    noise = np.exp(random.normal(0, SPREAD, (3, blocks)))
    times = 0.01 * level * noise * np.array([[slowdown], [1.0], [1.0]])
    return tuple(dict(enumerate(row.tolist(), 1)) for row in times)


def ratio(cell: Times, baseline: Times) -> Ratio:
    found = paired_ratio(cell, baseline)
    assert found is not None
    return found


def studies(seed: int, blocks: int, slowdown: float = 1.0) -> list[tuple[Ratio, Ratio]]:
    random = np.random.default_rng(seed)
    found = []
    for _ in range(STUDIES):
        cell, baseline, twin = simulated(random, blocks, slowdown)
        found.append((ratio(cell, baseline), ratio(twin, baseline)))
    return found


@pytest.mark.parametrize("blocks", [4, 10, 20])
def test_intervals_of_equal_code_hold_1_as_often_as_they_say(blocks: int) -> None:
    covered = sum(not ratio.excludes_one() for ratio, _ in studies(1, blocks))
    low, high = stats.binom.interval(0.99, STUDIES, 0.95)
    assert low <= covered <= high


@pytest.mark.parametrize("blocks", [4, 10, 20])
def test_at_most_5_percent_of_equal_code_is_called_different(blocks: int) -> None:
    called = sum(cost_label(*pair) in ("slower", "faster") for pair in studies(2, blocks))
    assert called <= 0.05 * STUDIES


def test_a_planted_5_percent_slowdown_is_found_with_10_blocks() -> None:
    found = sum(cost_label(*pair) == "slower" for pair in studies(3, 10, slowdown=1.05))
    assert found >= 0.95 * STUDIES


def test_a_planted_speedup_is_not_called_a_slowdown() -> None:
    words = {cost_label(*pair) for pair in studies(4, 10, slowdown=0.9)}
    assert "faster" in words
    assert "slower" not in words


def test_simultaneous_intervals_of_seven_twins_hold_1_together() -> None:
    random = np.random.default_rng(5)
    clean = 0
    for _ in range(STUDIES):
        ratios = [paired_ratio(*simulated(random, 6)[1:], simultaneous_level(7)) for _ in range(7)]
        clean += all(ratio and not ratio.excludes_one() for ratio in ratios)
    assert clean >= stats.binom.ppf(0.005, STUDIES, 0.95)


def test_the_ratio_of_a_childs_numbers() -> None:
    ratio = paired_ratio({1: 2.0, 2: 4.0, 3: 6.0}, {1: 1.0, 2: 2.0, 3: 3.0})
    assert ratio is not None
    assert math.isclose(ratio.point, 2)
    assert math.isclose(ratio.low, 2)
    assert math.isclose(ratio.high, 2)
    assert ratio.blocks == 3


def test_the_interval_is_students() -> None:
    logs = np.log([1.1, 1.2, 1.4])
    ratio = paired_ratio({1: 1.1, 2: 1.2, 3: 1.4}, {1: 1.0, 2: 1.0, 3: 1.0})
    expected = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    assert ratio is not None
    assert np.allclose(np.log([ratio.low, ratio.high]), [expected.low, expected.high])


def test_only_common_blocks_are_paired() -> None:
    ratio = paired_ratio({1: 2.0, 2: 2.0, 9: 100.0}, {1: 1.0, 2: 1.0, 7: 0.001})
    assert ratio is not None
    assert (ratio.point, ratio.blocks) == (pytest.approx(2), 2)


def test_one_block_has_no_interval() -> None:
    assert paired_ratio({1: 2.0}, {1: 1.0}) is None


def ratio_of(low: float, high: float) -> Ratio:
    return Ratio(math.sqrt(low * high), low, high, 10, 0.01)


@pytest.mark.parametrize(
    ("cell", "twin", "label"),
    [
        ((1.10, 1.20), (0.98, 1.02), "slower"),
        ((0.80, 0.90), (0.98, 1.02), "faster"),
        ((0.97, 1.03), (0.98, 1.02), "within ±5 %"),
        ((0.80, 1.25), (0.98, 1.02), "cannot tell (± 22.5 %)"),
        ((1.01, 1.03), (0.96, 1.04), "within ±5 %"),  # no further out than equal code
        ((1.02, 1.30), (0.80, 1.25), "cannot tell (± 14.0 %)"),
    ],
)
def test_a_label_says_what_the_intervals_say(
    cell: tuple[float, float], twin: tuple[float, float], label: str
) -> None:
    assert cost_label(ratio_of(*cell), ratio_of(*twin)) == label


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
    assert check_twin(ratio_of(*interval)) is check


def test_the_smallest_detectable_cost_is_found_in_80_percent_of_studies() -> None:
    blocks = 10
    cost = smallest_detectable(SPREAD * math.sqrt(2), blocks)
    found = sum(ratio.excludes_one() for ratio, _ in studies(6, blocks, slowdown=1 + cost))
    low, high = stats.binom.interval(0.99, STUDIES, 0.80)
    assert low - 0.03 * STUDIES <= found <= high + 0.03 * STUDIES  # the formula is a close one
