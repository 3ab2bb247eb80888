"""What was planted in a study is what the gate finds, both ways."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from harness.analysis.study_data import CellData, StudyData
from harness.check.console import summary
from harness.check.findings import Finding, State, find_all
from harness.check.options import parse_options
from harness.check.selection import select_cells
from harness.core.errors import UsageError
from harness.core.record import Outcome, RunRecord
from harness.core.spec import Cell
from tests.check.conftest import LIMIT, made_up
from tests.conftest import repeat

Make = Callable[..., RunRecord]
Evidence = Callable[..., CellData]


@pytest.fixture
def evidence(make_cell: Callable[..., Cell]) -> Evidence:
    """A cell with these runs; its id is its scenario and setting."""

    def make(setting: str, scenario: str = "mlp", **changes: Any) -> CellData:
        cell = make_cell(setting, scenario)
        plain: dict[str, Any] = {"role": "asked", "baseline": None, "same_as": None}
        return CellData(cell.id, cell, **{**plain, **changes})

    return make


def judged(study: StudyData, *words: str) -> dict[tuple[str, str], Finding]:
    gate = parse_options(["made-up", *words])
    found = find_all(study, select_cells(study, gate).cells, gate)
    return {(one.cell, one.requirement): one for one in found}


def one_cell(cell: CellData, *words: str) -> Finding:
    found = judged(made_up(cell), *words)
    return next(one for (id_, _), one in found.items() if id_ == cell.id)


def equal(trace: Make, runs: int) -> list[RunRecord]:
    return [trace(number, repeat()) for number in range(1, runs + 1)]


def test_equal_bits_in_enough_runs_hold_with_their_bound(evidence: Evidence, trace: Make) -> None:
    found = one_cell(evidence("full", traces=equal(trace, 5)), "--require", "identical")
    assert found.state is State.holds
    assert found.found == (
        "no difference seen in 5 runs "
        "(a fresh run differs with probability at most 53 %, at 95 % confidence)"
    )
    sure = one_cell(evidence("full", traces=equal(trace, 30)), "--require", "identical")
    assert sure.found.startswith("identical in 30 runs (a fresh run differs with")


@pytest.mark.parametrize(("wanted", "state"), [("5", State.holds), ("6", State.broken)])
def test_equal_bits_in_fewer_runs_than_wanted_are_broken(
    wanted: str, state: State, evidence: Evidence, trace: Make
) -> None:
    cell = evidence("full", traces=equal(trace, 5))
    found = one_cell(cell, "--require", "identical", "--min-runs", wanted)
    assert found.state is state
    assert ("but 6 runs are required" in found.found) == (state is State.broken)


def test_one_other_run_of_many_breaks_it(evidence: Evidence, trace: Make) -> None:
    traces = [*equal(trace, 9), trace(10, repeat(steps="ax"))]
    found = one_cell(evidence("full", traces=traces), "--require", "identical")
    assert found.state is State.broken
    assert found.found == "varies in 10 runs: first at step 2, in buffers"


def test_a_timing_run_that_ends_otherwise_breaks_it(
    evidence: Evidence, trace: Make, timing: Make
) -> None:
    cell = evidence("full", traces=equal(trace, 5), timings=[timing(1, 1.0, final="z")])
    found = one_cell(cell, "--require", "identical")
    assert found.state is State.broken
    assert "timing runs differ" in found.found


@pytest.mark.parametrize(
    ("outcomes", "told"),
    [
        ([Outcome.ok, Outcome.ok, Outcome.crashed], "failed: 1 of 3 runs crashed"),
        ([Outcome.ok, Outcome.ok, Outcome.timeout], "1 of 3 runs exceeded launch.timeout_s"),
        (
            [Outcome.refused] * 3,
            "refused: 3 of 3 runs called an operation that has no deterministic implementation",
        ),
        ([Outcome.ok], "not tested: 1 run completed, but 2 are required"),
        ([], "not tested: 0 runs completed"),
    ],
)
def test_what_cannot_be_decided_is_broken(
    outcomes: Sequence[Outcome], told: str, evidence: Evidence, trace: Make
) -> None:
    traces = [
        trace(n, *[repeat()] * outcome.completed, outcome=outcome)
        for n, outcome in enumerate(outcomes, 1)
    ]
    for required in ("identical", "varies"):
        found = one_cell(evidence("full", traces=traces), "--require", required)
        assert found.state is State.broken
        assert told in found.found


@pytest.mark.parametrize(
    ("required", "holds"),
    [("varies", True), ("varies per process", True), ("varies per call", False)],
)
def test_a_difference_can_be_required_too(
    required: str, holds: bool, evidence: Evidence, trace: Make
) -> None:
    parted = [trace(n, repeat(x), repeat(x)) for n, x in enumerate("ab", 1)]
    found = one_cell(evidence("seed", traces=parted), "--require", required)
    assert (found.state is State.holds) == holds
    same = evidence("seed", traces=equal(trace, 30))
    assert one_cell(same, "--require", required).state is State.broken


def costing(
    evidence: Evidence, trace: Make, timing: Make, factors: Sequence[float], **changes: Any
) -> StudyData:
    """A cell whose steps take so many times the baseline's, block by block."""
    blocks = list(enumerate(factors, 1))
    base = evidence(
        "seed",
        baseline="mlp-seed-cpu",
        role="baseline",
        traces=equal(trace, 2),
        timings=[timing(n, 0.01 * n) for n, _ in blocks],
    )
    plain = {
        "baseline": base.id,
        "traces": equal(trace, 2),
        "timings": [timing(n, 0.01 * n * factor) for n, factor in blocks],
    }
    return made_up(evidence("full", **{**plain, **changes}), base)


@pytest.mark.parametrize(
    ("factors", "state", "told"),
    [
        ([1.05, 1.05, 1.05], State.holds, "1.050 (1.050–1.050) in 3 blocks"),
        ([1.2, 1.2], State.broken, "costs more: 1.200 (1.200–1.200) in 2 blocks"),
        ([1.0, 1.02, 1.2], State.broken, "not shown: 1.070 (0.834–1.371) in 3 blocks"),
        ([0.5, 0.5], State.holds, "0.500"),
        ([1.05], State.broken, "no cost was measured"),
        ([], State.broken, "no cost was measured"),
    ],
)
def test_the_whole_interval_of_a_cost_counts(
    factors: list[float], state: State, told: str, evidence: Evidence, trace: Make, timing: Make
) -> None:
    study = costing(evidence, trace, timing, factors)
    found = judged(study, "--max-cost", "1.10")["mlp-full-cpu", LIMIT]
    assert (found.state, told in found.found) == (state, True), found.found


@pytest.mark.parametrize(("truth", "often"), [(1.10, 0.025), (1.15, 0.001)])
def test_a_cost_that_is_too_high_seldom_passes(
    truth: float, often: float, evidence: Evidence, trace: Make, timing: Make
) -> None:
    random, studies = np.random.default_rng(1), 200
    noise = np.exp(random.normal(0, 0.02, (studies, 5))) * truth
    passed = sum(
        judged(costing(evidence, trace, timing, row), "--max-cost", "1.10")[
            "mlp-full-cpu", LIMIT
        ].state
        is State.holds
        for row in noise.tolist()
    )
    assert passed <= stats.binom.ppf(0.999, studies, often)


def test_a_cost_well_below_the_limit_passes(evidence: Evidence, trace: Make, timing: Make) -> None:
    for row in np.exp(np.random.default_rng(2).normal(0, 0.01, (50, 8))).tolist():
        study = costing(evidence, trace, timing, row)
        assert judged(study, "--max-cost", "1.10")["mlp-full-cpu", LIMIT].state is State.holds


def test_what_varies_has_no_cost_to_quote(evidence: Evidence, trace: Make, timing: Make) -> None:
    parted = [trace(1, repeat("a")), trace(2, repeat("b"))]
    study = costing(evidence, trace, timing, [1.0, 1.0], traces=parted)
    found = judged(study, "--max-cost", "1.10")["mlp-full-cpu", LIMIT]
    assert (found.state, "not identical (varies)" in found.found) == (State.broken, True)


def test_a_cell_without_a_baseline_has_no_cost(evidence: Evidence, trace: Make) -> None:
    found = one_cell(evidence("full", traces=equal(trace, 2)), "--max-cost", "1.10")
    assert (found.state, "no baseline" in found.found) == (State.broken, True)


def test_a_baseline_and_what_is_merged_into_it_are_skipped(
    evidence: Evidence, trace: Make, timing: Make
) -> None:
    study = costing(evidence, trace, timing, [1.0, 1.0])
    base = study.by_id("mlp-seed-cpu")
    alias = evidence(
        "cudnn", baseline=base.id, same_as=base.id, traces=base.traces, timings=base.timings
    )
    study = made_up(*study.cells, alias)
    found = judged(study, "--max-cost", "1.10")
    assert found["mlp-cudnn-cpu", LIMIT].state is State.skipped
    assert ("mlp-seed-cpu", LIMIT) not in found
    named = judged(study, "--max-cost", "1.10", "--determinism", "seed,full")
    assert named["mlp-seed-cpu", LIMIT].state is State.skipped
    with pytest.raises(UsageError, match="nothing to judge"):
        judged(study, "--max-cost", "1.10", "--determinism", "seed,cudnn")


def test_a_merged_cell_has_its_twins_verdict_and_cost(
    evidence: Evidence, trace: Make, timing: Make
) -> None:
    study = costing(evidence, trace, timing, [1.2, 1.2])
    full = study.by_id("mlp-full-cpu")
    alias = evidence(
        "warn", baseline="mlp-seed-cpu", same_as=full.id, traces=full.traces, timings=full.timings
    )
    found = judged(made_up(*study.cells, alias), "--require", "identical", "--max-cost", "1.10")
    for requirement in ("identical", LIMIT):
        one, other = found[full.id, requirement], found[alias.id, requirement]
        assert (one.state, one.found) == (other.state, other.found)


def with_control(evidence: Evidence, seed: list[RunRecord], full: list[RunRecord]) -> Any:
    return [
        evidence("seed", "indexing", role="control", traces=seed),
        evidence("full", "indexing", role="control", traces=full),
    ]


def test_a_study_that_finds_no_difference_proves_nothing(evidence: Evidence, trace: Make) -> None:
    cell = evidence("full", traces=equal(trace, 5))
    same, parted = equal(trace, 2), [trace(1, repeat("a")), trace(2, repeat("b"))]
    cases = [
        ((parted, same), State.holds),
        ((same, same), State.broken),
        ((parted, parted), State.broken),
        ((parted, same[:1]), State.broken),
    ]
    for runs, state in cases:
        study = made_up(cell, *with_control(evidence, *runs))
        found = judged(study, "--require", "identical")
        assert found["study", "positive control"].state is state
        assert found["mlp-full-cpu", "identical"].state is State.holds
    alone = judged(made_up(cell), "--require", "identical")
    assert alone["study", "positive control"].state is State.skipped


def test_a_twin_found_different_from_itself_is_told(
    evidence: Evidence, trace: Make, timing: Make
) -> None:
    for factor, state in ((1.0, State.holds), (1.2, State.broken)):
        study = costing(evidence, trace, timing, [1.0, 1.0, 1.0])
        base = study.by_id("mlp-seed-cpu")
        twins = [timing(n, 0.01 * n * factor, twin=True) for n in (1, 2, 3)]
        study = made_up(study.cells[0], dataclasses.replace(base, twins=twins))
        assert judged(study, "--max-cost", "1.10")["mlp-seed-cpu", "A/A twin"].state is state


def test_controls_and_baselines_are_left_out_unless_named(evidence: Evidence, trace: Make) -> None:
    two = equal(trace, 2)
    control = with_control(evidence, two, two)
    alias = evidence("cudnn", "indexing", same_as=control[0].id, traces=two)
    base = evidence("seed", role="baseline", traces=two)
    study = made_up(evidence("full", traces=two), base, *control, alias)

    def cells(*words: str) -> list[str]:
        return [
            one.id
            for one in select_cells(
                study, parse_options(["s", "--require", "varies", *words])
            ).cells
        ]

    assert cells() == ["mlp-full-cpu"]
    assert cells("--scenario", "mlp") == ["mlp-full-cpu"]
    assert cells("--determinism", "seed,full") == ["mlp-full-cpu", "mlp-seed-cpu"]
    assert cells("--scenario", "indexing", "--determinism", "full") == ["indexing-full-cpu"]
    assert cells("--scenario", "indexing", "--determinism", "cudnn") == ["indexing-cudnn-cpu"]
    with pytest.raises(UsageError, match="leave no cell"):
        cells("--determinism", "cudnn")
    gate = parse_options(["s", "--require", "varies"])
    assert "excluded unless named: mlp-seed-cpu indexing-seed" in summary(
        study, select_cells(study, gate), []
    )
