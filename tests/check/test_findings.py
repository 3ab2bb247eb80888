"""The gate finds what was planted in synthetic studies, both ways."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from harness.check.console import summary
from harness.check.findings import State
from harness.check.options import parse_options
from harness.check.selection import select_cells
from harness.core.errors import UsageError
from harness.core.record import Outcome, RunRecord
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


def test_equal_runs_hold_with_their_bound(make_data: MakeData, trace: Make) -> None:
    """Equal runs meet the requirement, and the finding bounds how often fresh runs differ."""
    cell = make_data("full", traces=make_equal_runs(trace, 5))
    finding = check_cell(cell, "--require", "identical", "--min-runs", "5")
    assert finding.state is State.holds
    assert finding.found == (
        "no difference seen in 5 runs "
        "(a fresh run differs with probability at most 53 %, at 95 % confidence)"
    )
    cell = make_data("full", traces=make_equal_runs(trace, 30))
    finding = check_cell(cell, "--require", "identical")
    assert finding.found.startswith("identical in 30 runs (a fresh run differs with")


def test_identical_requires_ten_runs_by_default(make_data: MakeData, trace: Make) -> None:
    """Nine equal runs are too few, because a fresh one may differ with probability 31 %."""
    for runs, state in ((9, State.broken), (10, State.holds)):
        cell = make_data("full", traces=make_equal_runs(trace, runs))
        assert check_cell(cell, "--require", "identical").state is state


@pytest.mark.parametrize(("min_runs", "state"), [("5", State.holds), ("6", State.broken)])
def test_fewer_equal_runs_than_required_are_broken(
    min_runs: str, state: State, make_data: MakeData, trace: Make
) -> None:
    """Equal runs do not meet `identical` if fewer of them completed than required."""
    cell = make_data("full", traces=make_equal_runs(trace, 5))
    finding = check_cell(cell, "--require", "identical", "--min-runs", min_runs)
    assert finding.state is state
    assert ("but 6 runs are required" in finding.found) == (state is State.broken)


def test_one_differing_run_breaks_identical(make_data: MakeData, trace: Make) -> None:
    """One of ten runs that differs breaks `identical`, and the finding says where."""
    traces = [*make_equal_runs(trace, 9), trace(10, repeat(steps="ax"))]
    finding = check_cell(make_data("full", traces=traces), "--require", "identical")
    assert finding.state is State.broken
    assert finding.found == (
        "varies in 10 runs: 1 of 10 processes differs from the most frequent result; "
        "first at step 2, in buffers"
    )


def test_a_differing_timing_run_breaks_identical(
    make_data: MakeData, trace: Make, timing: Make
) -> None:
    """A timing run that ended with other bits breaks `identical`."""
    cell = make_data("full", traces=make_equal_runs(trace, 5), timings=[timing(1, 1.0, final="z")])
    finding = check_cell(cell, "--require", "identical")
    assert finding.state is State.broken
    assert "timing runs differ" in finding.found


@pytest.mark.parametrize(
    ("outcomes", "reason"),
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
def test_an_undecided_requirement_is_broken(
    outcomes: Sequence[Outcome], reason: str, make_data: MakeData, trace: Make
) -> None:
    """Runs that failed, were refused or are too few break every requirement."""
    traces = [
        trace(n, *[repeat()] * outcome.completed, outcome=outcome)
        for n, outcome in enumerate(outcomes, 1)
    ]
    for required in ("identical", "varies"):
        finding = check_cell(make_data("full", traces=traces), "--require", required)
        assert finding.state is State.broken
        assert reason in finding.found


@pytest.mark.parametrize(
    ("required", "holds"),
    [("varies", True), ("varies per process", True), ("varies per call", False)],
)
def test_a_difference_can_be_required(
    required: str, holds: bool, make_data: MakeData, trace: Make
) -> None:
    """`varies` accepts any difference, and a specific kind accepts only its own."""
    differing = [trace(n, repeat(x), repeat(x)) for n, x in enumerate("ab", 1)]
    finding = check_cell(make_data("seed", traces=differing), "--require", required)
    assert (finding.state is State.holds) == holds
    same = make_data("seed", traces=make_equal_runs(trace, 30))
    assert check_cell(same, "--require", required).state is State.broken


def test_a_merged_cell_has_the_findings_of_its_original(
    make_data: MakeData, trace: Make, timing: Make
) -> None:
    """A cell that is merged into another has the verdict and the cost of that cell."""
    study = make_timed_study(make_data, trace, timing, [1.2, 1.2])
    full = study.by_id("mlp-full-cpu")
    alias = make_data(
        "warn", baseline="mlp-seed-cpu", same_as=full.id, traces=full.traces, timings=full.timings
    )
    findings = check_study(
        make_study(*study.cells, alias), "--require", "identical", "--max-cost", "1.10"
    )
    for requirement in ("identical", LIMIT):
        original, merged = findings[full.id, requirement], findings[alias.id, requirement]
        assert (original.state, original.found) == (merged.state, merged.found)


def make_control(make_data: MakeData, seed: list[RunRecord], full: list[RunRecord]) -> Any:
    return [
        make_data("seed", "indexing", role="control", traces=seed),
        make_data("full", "indexing", role="control", traces=full),
    ]


def test_the_positive_control_is_a_requirement(make_data: MakeData, trace: Make) -> None:
    """A control that failed or was not decided is broken and changes no other finding."""
    cell = make_data("full", traces=make_equal_runs(trace, 10))
    same, differing = make_equal_runs(trace, 2), [trace(1, repeat("a")), trace(2, repeat("b"))]
    cases = [
        ((differing, same), State.holds),
        ((same, same), State.broken),
        ((differing, differing), State.broken),
        ((differing, same[:1]), State.broken),
    ]
    for runs, state in cases:
        study = make_study(cell, *make_control(make_data, *runs))
        findings = check_study(study, "--require", "identical")
        assert findings["study", "positive control"].state is state
        assert findings["mlp-full-cpu", "identical"].state is State.holds
    alone = check_study(make_study(cell), "--require", "identical")
    assert ("study", "positive control") not in alone


def test_a_differing_twin_is_broken(make_data: MakeData, trace: Make, timing: Make) -> None:
    """A twin holds if it takes as long as its baseline, and is broken otherwise."""
    for factor, state in ((1.0, State.holds), (1.2, State.broken)):
        study = make_timed_study(make_data, trace, timing, [1.0, 1.0, 1.0])
        base = study.by_id("mlp-seed-cpu")
        twins = [timing(n, 0.01 * n * factor, twin=True) for n in (1, 2, 3)]
        study = make_study(study.cells[0], dataclasses.replace(base, twins=twins))
        assert check_study(study, "--max-cost", "1.10")["mlp-seed-cpu", "A/A twin"].state is state


def test_a_gate_about_bits_does_not_break_on_times(
    make_data: MakeData, trace: Make, timing: Make
) -> None:
    """Without `--max-cost` a twin decides nothing."""
    study = make_timed_study(make_data, trace, timing, [1.0, 1.0, 1.0])
    base = study.by_id("mlp-seed-cpu")
    twins = [timing(n, 0.01 * n * 1.2, twin=True) for n in (1, 2, 3)]
    study = make_study(study.cells[0], dataclasses.replace(base, twins=twins))
    assert ("mlp-seed-cpu", "A/A twin") not in check_study(study, "--require", "identical")


def test_controls_and_baselines_are_excluded_unless_named(make_data: MakeData, trace: Make) -> None:
    """The gate checks controls and added baselines only if an option names them."""
    two = make_equal_runs(trace, 2)
    control = make_control(make_data, two, two)
    alias = make_data("cudnn", "indexing", same_as=control[0].id, traces=two)
    base = make_data("seed", role="baseline", traces=two)
    study = make_study(make_data("full", traces=two), base, *control, alias)

    def select_ids(*words: str) -> list[str]:
        gate = parse_options(["s", "--require", "varies", *words])
        return [cell.id for cell in select_cells(study, gate).cells]

    assert select_ids() == ["mlp-full-cpu"]
    assert select_ids("--scenario", "mlp") == ["mlp-full-cpu"]
    assert select_ids("--determinism", "seed,full") == ["mlp-full-cpu", "mlp-seed-cpu"]
    assert select_ids("--scenario", "indexing", "--determinism", "full") == ["indexing-full-cpu"]
    assert select_ids("--scenario", "indexing", "--determinism", "cudnn") == ["indexing-cudnn-cpu"]
    with pytest.raises(UsageError, match="leave no cell"):
        select_ids("--determinism", "cudnn")
    gate = parse_options(["s", "--require", "varies"])
    assert "excluded unless named: mlp-seed-cpu indexing-seed" in summary(
        study, select_cells(study, gate), []
    )
