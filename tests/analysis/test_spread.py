"""Every formula of spread, on numbers that are easy to check by hand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from harness.analysis.spread import churn, measure_spread
from harness.analysis.study_data import CellData
from harness.core.record import RunRecord
from harness.core.spec import Cell
from tests.conftest import repeat

Make = Callable[..., RunRecord]


def make_cell_data(make_cell: Callable[..., Cell], *runs: RunRecord) -> CellData:
    return CellData("c", make_cell(), "asked", None, None, traces=list(runs))


def test_loss_spread_is_relative_to_the_mean(make_cell: Callable[..., Cell], trace: Make) -> None:
    """Last losses of 1 and 3 have a range of 2, which is 1 relative to their mean."""
    runs = [trace(n, repeat(losses=[9.0, loss])) for n, loss in ((1, 1.0), (2, 3.0))]
    spread = measure_spread(make_cell_data(make_cell, *runs))
    assert spread.loss_spread == pytest.approx(1.0)
    assert spread.loss_sd_rel == pytest.approx(np.std([1, 3], ddof=1) / 2)


def test_equal_runs_have_no_spread(make_cell: Callable[..., Cell], trace: Make) -> None:
    """Every measure of spread is exactly 0 for runs that agree; means are those of the runs."""
    spread = measure_spread(make_cell_data(make_cell, trace(1, repeat()), trace(2, repeat())))
    assert spread.compared == 2
    others = ("compared", "loss_mean", "accuracy_mean")
    assert {value for name, value in vars(spread).items() if name not in others} == {0.0}
    assert spread.loss_mean == repeat().losses[-1]
    assert spread.accuracy_mean == repeat().accuracy


def test_real_numbers_have_no_churn(make_cell: Callable[..., Cell], trace: Make) -> None:
    """Predictions of a regression that differ in a bit are not counted as other answers."""
    for predictions, expected in (([1, 2], 0.5), ([1.0, 2.0], math.nan)):
        one = dataclasses.replace(repeat("a"), predictions=predictions)
        changed = [predictions[0], predictions[1] + 5]
        other = dataclasses.replace(repeat("b"), predictions=changed)
        cell = make_cell_data(make_cell, trace(1, one), trace(2, other))
        assert measure_spread(cell).churn == pytest.approx(expected, nan_ok=True)


def test_churn_is_the_mean_disagreement_of_pairs() -> None:
    """Churn is the share of predictions that differ, averaged over all pairs of runs."""
    table = [np.array(row, dtype=object) for row in ([1, 1, 1, 1], [1, 1, 1, 2], [1, 1, 2, 2])]
    assert churn(table) == pytest.approx((0.25 + 0.5 + 0.25) / 3)


def test_the_largest_distance_of_all_repeats_counts(
    make_cell: Callable[..., Cell], trace: Make
) -> None:
    """Each distance is the largest over all repeats at their last snapshot."""
    runs = [trace(1, repeat("a")), trace(2, repeat("b"), repeat("c"))]
    near = {
        "1": {"rel_l2": 9.0, "max_ulp": 99, "differing": 0.9},
        "8": {"rel_l2": 0.1, "max_ulp": 4, "differing": 0.5},
    }
    far = {"8": {"rel_l2": 0.3, "max_ulp": 2, "differing": 0.2}}
    measured = {runs[1].run_id: {"reference": "a", "repeats": [near, far]}}
    cell = dataclasses.replace(make_cell_data(make_cell, *runs), distances=measured)
    spread = measure_spread(cell)
    assert (spread.weight_rel_l2, spread.weight_max_ulp, spread.weight_differing) == (0.3, 4.0, 0.5)


def test_a_distance_from_another_reference_does_not_count(
    make_cell: Callable[..., Cell], trace: Make
) -> None:
    """A distance that was measured from another run counts as not measured."""
    runs = [trace(1, repeat("a")), trace(2, repeat("b"))]
    steps = {"8": {"rel_l2": 0.3, "max_ulp": 2, "differing": 0.2}}
    stale = {runs[1].run_id: {"reference": "another", "repeats": [steps]}}
    cell = dataclasses.replace(make_cell_data(make_cell, *runs), distances=stale)
    assert np.isnan(measure_spread(cell).weight_rel_l2)
    assert cell.unmeasured == [runs[1]]


def test_equal_repeats_count_once(make_cell: Callable[..., Cell], trace: Make) -> None:
    """If the repeats of each run agree, only the first counts towards the spread."""
    runs = [
        trace(n, *[repeat(end, losses=[loss])] * 2)
        for n, end, loss in ((1, "a", 1.0), (2, "b", 3.0))
    ]
    spread = measure_spread(make_cell_data(make_cell, *runs))
    assert spread.loss_sd_rel == pytest.approx(np.std([1, 3], ddof=1) / 2)


def test_a_distance_that_was_not_measured_is_unknown(
    make_cell: Callable[..., Cell], trace: Make
) -> None:
    """Runs that differ without a measured distance have NaN as distance, not 0."""
    spread = measure_spread(make_cell_data(make_cell, trace(1, repeat("a")), trace(2, repeat("b"))))
    assert np.isnan(spread.weight_rel_l2)


def test_a_single_training_has_no_spread(make_cell: Callable[..., Cell], trace: Make) -> None:
    """Loss spread, weight distance and churn of a single training are NaN."""
    spread = measure_spread(make_cell_data(make_cell, trace(1, repeat())))
    assert np.isnan([spread.loss_spread, spread.weight_rel_l2, spread.churn]).all()
