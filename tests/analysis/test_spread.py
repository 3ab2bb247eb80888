"""Every formula of the spreads, on numbers that a child can check."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from harness.analysis.spread import churn, divergence_rate_upper, measure_spread
from harness.analysis.study_data import CellData
from harness.core.record import RunRecord
from harness.core.spec import Cell
from tests.conftest import repeat

Make = Callable[..., RunRecord]


def cell_of(make_cell: Callable[..., Cell], *runs: RunRecord) -> CellData:
    return CellData("c", make_cell(), "asked", None, None, traces=list(runs))


def test_none_of_29_leaves_a_bound_of_9_8_percent() -> None:
    assert divergence_rate_upper(0, 29) == pytest.approx(0.0982, abs=5e-4)


def test_all_of_n_leaves_a_bound_of_1_and_none_of_none_too() -> None:
    assert divergence_rate_upper(5, 5) == 1.0
    assert divergence_rate_upper(0, 0) == 1.0


def test_losses_1_and_3_spread_by_their_mean(make_cell: Callable[..., Cell], trace: Make) -> None:
    runs = [trace(n, repeat(losses=[9.0, loss])) for n, loss in ((1, 1.0), (2, 3.0))]
    found = measure_spread(cell_of(make_cell, *runs))
    assert found.loss_spread == pytest.approx(1.0)
    assert found.loss_sd_rel == pytest.approx(np.std([1, 3], ddof=1) / 2)


def test_equal_runs_have_no_spread_at_all(make_cell: Callable[..., Cell], trace: Make) -> None:
    found = measure_spread(cell_of(make_cell, trace(1, repeat()), trace(2, repeat())))
    assert set(vars(found).values()) == {0.0}


def test_churn_is_the_mean_disagreement_of_pairs() -> None:
    table = [np.array(row, dtype=object) for row in ([1, 1, 1, 1], [1, 1, 1, 2], [1, 1, 2, 2])]
    assert churn(table) == pytest.approx((0.25 + 0.5 + 0.25) / 3)


def test_the_largest_distance_of_any_repeat_is_told(
    make_cell: Callable[..., Cell], trace: Make
) -> None:
    runs = [trace(1, repeat("a")), trace(2, repeat("b"), repeat("c"))]
    near = {
        "1": {"rel_l2": 9.0, "max_ulp": 99, "differing": 0.9},
        "8": {"rel_l2": 0.1, "max_ulp": 4, "differing": 0.5},
    }
    far = {"8": {"rel_l2": 0.3, "max_ulp": 2, "differing": 0.2}}
    measured = {runs[1].run_id: {"reference": "a", "repeats": [near, far]}}
    cell = dataclasses.replace(cell_of(make_cell, *runs), distances=measured)
    found = measure_spread(cell)
    assert (found.weight_rel_l2, found.weight_max_ulp, found.weight_differing) == (0.3, 4.0, 0.5)


def test_a_distance_from_another_first_run_does_not_count(
    make_cell: Callable[..., Cell], trace: Make
) -> None:
    runs = [trace(1, repeat("a")), trace(2, repeat("b"))]
    steps = {"8": {"rel_l2": 0.3, "max_ulp": 2, "differing": 0.2}}
    stale = {runs[1].run_id: {"reference": "another", "repeats": [steps]}}
    cell = dataclasses.replace(cell_of(make_cell, *runs), distances=stale)
    assert np.isnan(measure_spread(cell).weight_rel_l2)
    assert cell.unmeasured == [runs[1]]


def test_equal_repeats_count_once(make_cell: Callable[..., Cell], trace: Make) -> None:
    runs = [
        trace(n, *[repeat(end, losses=[loss])] * 2)
        for n, end, loss in ((1, "a", 1.0), (2, "b", 3.0))
    ]
    found = measure_spread(cell_of(make_cell, *runs))
    assert found.loss_sd_rel == pytest.approx(np.std([1, 3], ddof=1) / 2)


def test_a_distance_that_nobody_measured_is_unknown_not_zero(
    make_cell: Callable[..., Cell], trace: Make
) -> None:
    found = measure_spread(cell_of(make_cell, trace(1, repeat("a")), trace(2, repeat("b"))))
    assert np.isnan(found.weight_rel_l2)


def test_one_training_has_no_spread_at_all(make_cell: Callable[..., Cell], trace: Make) -> None:
    found = measure_spread(cell_of(make_cell, trace(1, repeat())))
    assert np.isnan([found.loss_spread, found.weight_rel_l2, found.churn]).all()
