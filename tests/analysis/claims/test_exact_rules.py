"""Rules that compare bits or recorded facts, on synthetic records, both ways."""

from __future__ import annotations

import dataclasses

import pytest

from harness.analysis.claims.ruling import Answer
from harness.analysis.study_data import CellData
from harness.core.record import Outcome
from harness.core.steps import Steps
from tests.analysis.claims.conftest import Make, MakeCell, Runs, judge_cells, judge_runs, make_claim
from tests.conftest import repeat

SAME, OTHER = repeat(), repeat("b", ("a", "b"))


@pytest.mark.parametrize(
    ("rule", "same", "differing"),
    [("identical", Answer.holds, Answer.fails), ("varies", Answer.open, Answer.holds)],
)
def test_a_difference_decides_and_its_absence_only_supports(
    rule: str, same: str, differing: str, runs: Runs, make_cell: MakeCell
) -> None:
    """Differing runs refute `identical` and prove `varies`; equal runs refute neither."""
    claim = make_claim(rule, "it")
    assert judge_runs(claim, {"it": runs(SAME, copies=10)}, make_cell)[0] == same
    assert judge_runs(claim, {"it": runs(SAME, OTHER)}, make_cell)[0] == differing


def test_what_was_not_seen_is_not_refuted(runs: Runs, make_cell: MakeCell) -> None:
    """A claim that runs vary stays open after equal runs, with how often they may differ."""
    claim = make_claim("varies", "it")
    result, why = judge_runs(claim, {"it": runs(SAME, copies=10)}, make_cell)
    assert result == Answer.open
    assert why == "not seen in 10 runs (rate at most 28 %)"


def test_a_claim_about_a_class_fails_if_any_of_its_cells_varies(
    runs: Runs, make_cell: MakeCell
) -> None:
    """Both cells must be identical; one that varies refutes the claim."""
    claim = make_claim("identical", "it", "also")
    same, mixed = runs(SAME, copies=10), runs(SAME, OTHER)
    assert judge_runs(claim, {"it": same, "also": same}, make_cell)[0] == Answer.holds
    assert judge_runs(claim, {"it": same, "also": mixed}, make_cell)[0] == Answer.fails
    assert judge_runs(claim, {"it": same, "also": same[:9]}, make_cell)[0] == Answer.open


def test_a_divergence_at_another_component_is_undecided(runs: Runs, make_cell: MakeCell) -> None:
    """A claim about gradients is undecided if runs first diverge at another component."""
    early = runs(SAME, OTHER)  # diverges at buffers
    rows = [dataclasses.replace(step, buffers="a", loss="a") for step in OTHER.steps]
    late = runs(SAME, dataclasses.replace(OTHER, steps=Steps.of(rows)))  # diverges at grads
    claim = make_claim("varies", "it", component="grads")
    assert judge_runs(claim, {"it": late}, make_cell)[0] == Answer.holds
    assert judge_runs(claim, {"it": early}, make_cell)[0] == Answer.open


def test_a_differing_timing_run_refutes_identical(
    runs: Runs, timing: Make, make_cell: MakeCell
) -> None:
    """A difference that only a timing run shows refutes `identical` and is named as such."""
    cell = CellData(
        "it",
        make_cell(),
        "evidence",
        None,
        None,
        traces=runs(SAME, copies=10),
        timings=[timing(1, 1.0, final="b")],
    )
    result, why = judge_cells(make_claim("identical", "it"), [cell])
    assert result == Answer.fails
    assert "timing runs differ" in why


def test_few_equal_runs_are_undecided(runs: Runs, make_cell: MakeCell) -> None:
    """Nine equal runs are too few to call a cell identical."""
    result, why = judge_runs(make_claim("identical", "it"), {"it": runs(SAME, copies=9)}, make_cell)
    assert result == Answer.open
    assert "needs at least 10 runs" in why


def test_a_fix_requires_an_untreated_cell_that_varies(runs: Runs, make_cell: MakeCell) -> None:
    """Whether a treatment works is undecided if the untreated cell does not vary."""
    claim = make_claim("cured", "untreated", "treated")
    same, mixed = runs(SAME, copies=10), runs(SAME, OTHER)
    assert judge_runs(claim, {"untreated": mixed, "treated": same}, make_cell)[0] == Answer.holds
    assert judge_runs(claim, {"untreated": mixed, "treated": mixed}, make_cell)[0] == Answer.fails
    result, why = judge_runs(claim, {"untreated": same, "treated": same}, make_cell)
    assert result == Answer.open
    assert "nothing to fix" in why


def test_a_fix_gets_no_credit_for_another_difference(runs: Runs, make_cell: MakeCell) -> None:
    """If the untreated runs first diverge elsewhere, the claim about a component is undecided."""
    same, mixed = runs(SAME, copies=10), runs(SAME, OTHER)  # diverges at buffers
    for component, expected in (("buffers", Answer.holds), ("batch", Answer.open)):
        claim = make_claim("cured", "untreated", "treated", component=component)
        cells = {"untreated": mixed, "treated": same}
        assert judge_runs(claim, cells, make_cell)[0] == expected


def test_unseeded_generators_do_not_hide_where_runs_diverge(
    runs: Runs, make_cell: MakeCell
) -> None:
    """Generators differ before anything draws from them, so they are not where runs diverge."""
    other = [dataclasses.replace(step, rng="r2") for step in OTHER.steps]
    mixed = runs(SAME, dataclasses.replace(OTHER, steps=Steps.of(other)))  # at rng, then at buffers
    for component, expected in (("buffers", Answer.holds), ("batch", Answer.open)):
        claim = make_claim("varies", "it", component=component)
        assert judge_runs(claim, {"it": mixed}, make_cell)[0] == expected


def test_a_recorded_fact_is_fixed_if_it_varies_only_untreated(
    runs: Runs, make_cell: MakeCell
) -> None:
    """An order that differs without a treatment and never with it is fixed by it."""
    one, other = (dataclasses.replace(SAME, facts={"epochs": [{"order": x}]}) for x in "ab")
    fact = {"cell": "treated", "path": "epochs.[].order"}
    claim = make_claim("fact_cured", "untreated", "treated", facts=[fact])
    equal, mixed = runs(one, copies=10), runs(one, other, copies=5)
    for untreated, treated, expected in (
        (mixed, equal, Answer.holds),
        (mixed, mixed, Answer.fails),
        (equal, equal, Answer.open),  # nothing to fix
        (mixed, equal[:3], Answer.open),  # too few runs
        (mixed, runs(SAME, copies=10), Answer.open),  # nothing recorded
    ):
        cells = {"untreated": untreated, "treated": treated}
        assert judge_runs(claim, cells, make_cell)[0] == expected


def test_unequal_requires_a_single_result_per_cell(runs: Runs, make_cell: MakeCell) -> None:
    """Two cells are unequal if each has a single result and the two results differ."""
    claim = make_claim("unequal", "one", "other")
    a, b = runs(SAME, copies=2), runs(OTHER, copies=2)
    assert judge_runs(claim, {"one": a, "other": b}, make_cell)[0] == Answer.holds
    assert judge_runs(claim, {"one": a, "other": a}, make_cell)[0] == Answer.fails
    assert judge_runs(claim, {"one": a, "other": [*a, *b]}, make_cell)[0] == Answer.open


def test_equal_requires_enough_runs(runs: Runs, make_cell: MakeCell) -> None:
    """Two cells are equal only if both have the same single result in at least 10 runs."""
    claim = make_claim("equal", "one", "other")
    a, b = runs(SAME, copies=10), runs(OTHER, copies=10)
    assert judge_runs(claim, {"one": a, "other": a}, make_cell)[0] == Answer.holds
    assert judge_runs(claim, {"one": a, "other": b}, make_cell)[0] == Answer.fails
    assert judge_runs(claim, {"one": a, "other": [*a, *b]}, make_cell)[0] == Answer.open
    result, why = judge_runs(claim, {"one": a, "other": a[:9]}, make_cell)
    assert result == Answer.open
    assert "needs at least 10 runs; other has 9" in why


def test_refused_is_decided_by_outcomes(runs: Runs, make_cell: MakeCell) -> None:
    """The rule `refused` holds for runs that were refused and fails for completed ones."""
    claim = make_claim("refused", "it")
    refused = runs(SAME, outcome=Outcome.refused)
    assert judge_runs(claim, {"it": refused}, make_cell)[0] == Answer.holds
    assert judge_runs(claim, {"it": runs(SAME, copies=2)}, make_cell)[0] == Answer.fails


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"equals": 3}, Answer.holds),
        ({"equals": 4}, Answer.fails),
        ({"above": 2}, Answer.holds),
        ({"above": 3}, Answer.fails),
        ({"at_most": 3}, Answer.holds),
        ({"at_most": 2}, Answer.fails),
    ],
)
def test_facts_must_meet_their_condition(
    condition: dict[str, float], expected: str, runs: Runs, make_cell: MakeCell
) -> None:
    """Facts of all trainings are compared with the condition; missing facts decide nothing."""
    fact = {"cell": "it", "path": "epochs.[].again", **condition}
    claim = make_claim("facts", "it", facts=[fact])
    recording = dataclasses.replace(SAME, facts={"epochs": [{"again": 3}, {"again": 3}]})
    assert judge_runs(claim, {"it": runs(recording, copies=2)}, make_cell)[0] == expected
    assert judge_runs(claim, {"it": runs(SAME)}, make_cell)[0] == Answer.open
