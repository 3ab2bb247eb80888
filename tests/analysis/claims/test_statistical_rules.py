"""Rules about spread and time, on synthetic records, both ways."""

from __future__ import annotations

import dataclasses

import pytest

from harness.analysis.claims.ruling import Answer
from harness.analysis.study_data import CellData
from harness.core.record import RunRecord
from tests.analysis.claims.conftest import Make, MakeCell, Runs, judge_cells, judge_runs, make_claim
from tests.conftest import repeat

SAME, OTHER = repeat(), repeat("b", ("a", "b"))


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
