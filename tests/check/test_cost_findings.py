"""The gate on costs: a cost passes only if its whole interval does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.check.findings import State
from harness.core.errors import UsageError
from tests.check.conftest import (
    LIMIT,
    Make,
    MakeData,
    check_cell,
    check_study,
    make_equal_runs,
    make_study,
    make_timed_study,
)
from tests.conftest import repeat


@pytest.mark.parametrize(
    ("factors", "state", "reason"),
    [
        ([1.05, 1.05, 1.05], State.holds, "1.050 (1.050–1.050) in 3 blocks"),
        ([1.2, 1.2], State.broken, "costs more: 1.200 (1.200–1.200) in 2 blocks"),
        ([1.0, 1.02, 1.2], State.broken, "not shown: 1.070 (0.834–1.371) in 3 blocks"),
        ([0.5, 0.5], State.holds, "0.500"),
        ([1.05], State.broken, "no cost was measured"),
        ([], State.broken, "no cost was measured"),
    ],
)
def test_the_whole_interval_must_be_within_the_limit(
    factors: list[float], state: State, reason: str, make_data: MakeData, trace: Make, timing: Make
) -> None:
    """A cost holds only if the upper end of its interval is within the limit."""
    study = make_timed_study(make_data, trace, timing, factors)
    finding = check_study(study, "--max-cost", "1.10")["mlp-full-cpu", LIMIT]
    assert (finding.state, reason in finding.found) == (state, True), finding.found


@pytest.mark.parametrize(("cost", "rate"), [(1.10, 0.025), (1.15, 0.001)])
def test_a_cost_that_is_too_high_seldom_passes(
    cost: float, rate: float, make_data: MakeData, trace: Make, timing: Make
) -> None:
    """A cost at the limit passes in at most 2.5 % of studies, and a higher one hardly ever."""
    random, studies = np.random.default_rng(1), 200
    noise = np.exp(random.normal(0, 0.02, (studies, 5))) * cost
    passed = sum(
        check_study(make_timed_study(make_data, trace, timing, row), "--max-cost", "1.10")[
            "mlp-full-cpu", LIMIT
        ].state
        is State.holds
        for row in noise.tolist()
    )
    assert passed <= stats.binom.ppf(0.999, studies, rate)


def test_a_cost_well_below_the_limit_passes(make_data: MakeData, trace: Make, timing: Make) -> None:
    """A cell that is as fast as its baseline passes a limit of 1.10 in every study."""
    for row in np.exp(np.random.default_rng(2).normal(0, 0.01, (50, 8))).tolist():
        study = make_timed_study(make_data, trace, timing, row)
        assert check_study(study, "--max-cost", "1.10")["mlp-full-cpu", LIMIT].state is State.holds


def test_a_cell_that_varies_has_no_cost(make_data: MakeData, trace: Make, timing: Make) -> None:
    """A limit on the cost is broken if the cell is not identical, however fast it is."""
    differing = [trace(1, repeat("a")), trace(2, repeat("b"))]
    study = make_timed_study(make_data, trace, timing, [1.0, 1.0], traces=differing)
    finding = check_study(study, "--max-cost", "1.10")["mlp-full-cpu", LIMIT]
    assert (finding.state, "not identical (varies)" in finding.found) == (State.broken, True)


def test_a_cell_without_a_baseline_has_no_cost(make_data: MakeData, trace: Make) -> None:
    """A limit on the cost is broken if there is nothing to compare the cell with."""
    finding = check_cell(make_data("full", traces=make_equal_runs(trace, 2)), "--max-cost", "1.10")
    assert (finding.state, "no baseline" in finding.found) == (State.broken, True)


def test_a_baseline_has_no_cost_to_check(make_data: MakeData, trace: Make, timing: Make) -> None:
    """Costs of a baseline and of cells merged into it are skipped, and refused if alone."""
    study = make_timed_study(make_data, trace, timing, [1.0, 1.0])
    base = study.by_id("mlp-seed-cpu")
    alias = make_data(
        "cudnn", baseline=base.id, same_as=base.id, traces=base.traces, timings=base.timings
    )
    study = make_study(*study.cells, alias)
    findings = check_study(study, "--max-cost", "1.10")
    assert findings["mlp-cudnn-cpu", LIMIT].state is State.skipped
    assert ("mlp-seed-cpu", LIMIT) not in findings
    named = check_study(study, "--max-cost", "1.10", "--determinism", "seed,full")
    assert named["mlp-seed-cpu", LIMIT].state is State.skipped
    with pytest.raises(UsageError, match="nothing to judge"):
        check_study(study, "--max-cost", "1.10", "--determinism", "seed,cudnn")
