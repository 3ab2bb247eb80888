"""Each rule on synthetic records, both ways, and the claims that are shipped."""

from __future__ import annotations

import dataclasses

import pytest

from harness.analysis.claims.ruling import Answer
from harness.analysis.study_data import CellData
from harness.core.record import Outcome, RunRecord
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
    late = runs(SAME, dataclasses.replace(OTHER, steps=rows))  # diverges at grads
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
    mixed = runs(SAME, dataclasses.replace(OTHER, steps=other))  # at rng, then at buffers
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


def test_a_published_range_is_compared_with_as_many_runs(runs: Runs, make_cell: MakeCell) -> None:
    """The losses of the source: 0.01439 % from the first run, though 0.01599 % end to end."""
    published = [12.5044, 12.5047, 12.5055, 12.5042, 12.5062, 13.0]  # the sixth is ours
    trainings = [
        dataclasses.replace(repeat(f"end{number}"), losses=[loss])
        for number, loss in enumerate(published)
    ]
    cell = {"it": runs(*trainings)}
    five = make_claim("spread_at_most", "it", limit=0.000144, runs=5)
    assert judge_runs(five, cell, make_cell)[0] == Answer.holds
    assert (
        judge_runs(make_claim("spread_at_most", "it", limit=0.000144), cell, make_cell)[0]
        == Answer.fails
    )


def test_losses_drift_apart_in_most_pairs(runs: Runs, make_cell: MakeCell) -> None:
    """Six pairs that end further apart than they first were decide; one odd run does not."""
    still = dataclasses.replace(SAME, losses=[1.0, 1.0, 1.0])
    drifts = dataclasses.replace(OTHER, losses=[1.0, 1.1, 1.3])
    narrows = dataclasses.replace(OTHER, losses=[1.0, 1.3, 1.1])
    claim = make_claim("grows", "it")
    assert judge_runs(claim, {"it": runs(*[still, drifts] * 6)}, make_cell)[0] == Answer.holds
    assert judge_runs(claim, {"it": runs(*[still, narrows] * 6)}, make_cell)[0] == Answer.fails
    one = runs(drifts, *[still] * 11)
    assert judge_runs(claim, {"it": one}, make_cell)[0] == Answer.open


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


def test_a_claim_whose_cell_is_missing_says_why(make_cell: MakeCell) -> None:
    """A claim whose cell could not run here is undecided, for the recorded reason."""
    claim = dataclasses.replace(make_claim("varies", "it"), cells={"it": "k"})
    mlp = CellData("mlp", make_cell(), "evidence", None, None)
    result = judge_cells(claim, [mlp], missing={"k": "extra 'keras' missing"})
    assert result == (Answer.open, "extra 'keras' missing")


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


def test_a_spread_is_compared_with_its_limit(runs: Runs, make_cell: MakeCell) -> None:
    """Two runs 0.1 apart prove a spread above 0.05; ten that are closer support a limit of 0.2."""
    low = dataclasses.replace(SAME, losses=[1.0, 1.0])
    high = dataclasses.replace(OTHER, losses=[1.0, 1.1])
    few, many = runs(low, high), runs(low, high, copies=5)
    for limit, cell, at_most, above in (
        (0.05, few, Answer.fails, Answer.holds),
        (0.2, few, Answer.open, Answer.open),
        (0.2, many, Answer.holds, Answer.open),
    ):
        for rule, expected in (("spread_at_most", at_most), ("spread_above", above)):
            claim = make_claim(rule, "it", limit=limit)
            assert judge_runs(claim, {"it": cell}, make_cell)[0] == expected


def test_accuracy_spreads_are_compared(runs: Runs, make_cell: MakeCell) -> None:
    """One accuracy spread is larger than another only if it is clearly larger in 10 runs."""
    wide = runs(*(dataclasses.replace(OTHER, accuracy=0.1 * n) for n in range(10)))
    narrow = runs(*(dataclasses.replace(OTHER, accuracy=0.01 * n) for n in range(10)))
    claim = make_claim("spread_larger", "one", "other")
    assert judge_runs(claim, {"one": wide, "other": narrow}, make_cell)[0] == Answer.holds
    assert judge_runs(claim, {"one": narrow, "other": wide}, make_cell)[0] == Answer.fails
    assert judge_runs(claim, {"one": wide, "other": wide}, make_cell)[0] == Answer.open
    alike = runs(*(dataclasses.replace(OTHER, accuracy=0.12 * n) for n in range(10)))
    assert judge_runs(claim, {"one": alike, "other": wide}, make_cell)[0] == Answer.open
    equal = runs(*(dataclasses.replace(OTHER, accuracy=0.5) for _ in range(10)))
    assert judge_runs(claim, {"one": narrow, "other": equal}, make_cell)[0] == Answer.holds


@pytest.mark.parametrize(("seconds", "expected"), [(1.0, Answer.holds), (1.5, Answer.fails)])
def test_a_cost_is_compared_with_its_limit(
    seconds: float, expected: str, timing: Make, make_cell: MakeCell
) -> None:
    """A cost of 1 is within a limit of 1.05, and a cost of 1.5 is not."""
    base = CellData(
        "base",
        make_cell(),
        "baseline",
        "base",
        None,
        timings=[timing(n, 1 + n / 1000) for n in range(1, 9)],
    )
    it = CellData(
        "it",
        make_cell("full"),
        "asked",
        "base",
        None,
        timings=[timing(n, seconds + n / 1000) for n in range(1, 9)],
    )
    assert judge_cells(make_claim("not_dearer", "it", limit=1.05), [base, it])[0] == expected


def test_relative_spreads_of_accuracy_and_loss_are_compared(
    runs: Runs, make_cell: MakeCell
) -> None:
    """Accuracy or loss is relatively wider only if the spreads of 10 runs clearly differ."""

    def scatter(accuracy: float, loss: float) -> list[RunRecord]:
        signs = (1, -1, 1, 1, -1, 1, -1, -1, 1, -1)
        return runs(
            *(
                dataclasses.replace(
                    OTHER,
                    accuracy=0.5 + accuracy * sign * n / 10,
                    losses=[1.0, 1 + loss * sign * (9 - n) / 10],
                )
                for n, sign in enumerate(signs)
            )
        )

    claim = make_claim("wider_relatively", "it")
    assert judge_runs(claim, {"it": scatter(0.4, 0.01)}, make_cell)[0] == Answer.holds
    assert judge_runs(claim, {"it": scatter(0.01, 0.4)}, make_cell)[0] == Answer.fails
    assert judge_runs(claim, {"it": scatter(0.05, 0.1)}, make_cell)[0] == Answer.open
    assert judge_runs(claim, {"it": scatter(0, 0)}, make_cell)[1].endswith("did not vary")
    assert judge_runs(claim, {"it": runs(SAME, OTHER)}, make_cell)[0] == Answer.open


def test_a_shift_is_compared_with_the_scatter(runs: Runs, make_cell: MakeCell) -> None:
    """Mean accuracy moves more than it scatters only if the shift clearly exceeds the spread."""

    def scatter_around(mean: float) -> list[RunRecord]:
        return runs(*(dataclasses.replace(OTHER, accuracy=mean + 0.001 * n) for n in range(10)))

    claim = make_claim("moves_more", "one", "other")
    for mean, expected in ((0.7, Answer.holds), (0.5, Answer.fails), (0.503, Answer.open)):
        cells = {"one": scatter_around(0.5), "other": scatter_around(mean)}
        assert judge_runs(claim, cells, make_cell)[0] == expected


def test_losses_must_agree_for_the_first_steps(runs: Runs, make_cell: MakeCell) -> None:
    """Losses of six pairs of runs that first differ at step 4 agree for 3 steps and not for 4."""
    late = repeat("b", ("a", "a", "a", "b"))
    varying = runs(*[repeat("a", ("a", "a", "a", "a")), late] * 6)
    for limit, expected in ((3, Answer.holds), (4, Answer.fails)):
        claim = make_claim("agree_at_first", "it", limit=limit)
        assert judge_runs(claim, {"it": varying}, make_cell)[0] == expected
        assert judge_runs(claim, {"it": varying[:3]}, make_cell)[0] == Answer.open
    equal = {"it": runs(SAME, copies=2)}
    claim = make_claim("agree_at_first", "it", limit=1)
    assert judge_runs(claim, equal, make_cell)[0] == Answer.open
    odd = runs(late, *[repeat("a", ("a", "a", "a", "a"))] * 11)  # whichever run is the odd one
    for claim in (make_claim("agree_at_first", "it", limit=limit) for limit in (3, 4)):
        assert judge_runs(claim, {"it": odd}, make_cell)[0] == Answer.open
        assert judge_runs(claim, {"it": odd[::-1]}, make_cell)[0] == Answer.open


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0.8, Answer.holds), (1.0, Answer.fails), (1.2, Answer.fails)]
)
def test_times_per_example_are_compared(
    seconds: float, expected: str, timing: Make, make_cell: MakeCell
) -> None:
    """Steps of 32 examples are faster than steps of 16 only below twice the time."""
    cells = []
    for role, batch, time in (("one", 32, seconds), ("other", 16, 0.5)):
        cell = make_cell()
        scenario = dataclasses.replace(cell.scenario, options={"batch_size": batch})
        cell = dataclasses.replace(cell, scenario=scenario)
        timings = [timing(n, time * (1 + n / 1000)) for n in range(1, 9)]
        cells.append(CellData(role, cell, "asked", role, None, timings=timings))
    assert judge_cells(make_claim("faster_each", "one", "other"), cells)[0] == expected


def test_a_claim_about_another_device_is_undecided(runs: Runs, make_cell: MakeCell) -> None:
    """A claim about CUDA devices is decided by a study on CUDA and by no other."""
    claim = make_claim("identical", "it", needs="cuda")
    result, why = judge_runs(claim, {"it": runs(SAME, copies=10)}, make_cell)
    assert result == Answer.open
    assert "CUDA" in why
    assert judge_runs(claim, {"it": runs(SAME, copies=10)}, make_cell, "cuda")[0] == Answer.holds
