"""Each rule on made-up records, both ways; and the shipped claims against the shipped scenarios."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from harness.analysis.cell_table import cell_table
from harness.analysis.claims.judge import claims_table, rule_function
from harness.analysis.claims.ruling import Answer
from harness.analysis.study_data import CellData, StudyData
from harness.config.collect import load_claims
from harness.core.claims import RULES, Claim
from harness.core.errors import UsageError
from harness.core.paths import CONF
from harness.core.record import Outcome, Repeat, RunRecord
from harness.core.spec import Cell
from tests.conftest import repeat

Make = Callable[..., RunRecord]
SAME, OTHER = repeat(), repeat("b", ("a", "b"))


def answer(
    claim: Claim,
    runs: dict[str, list[RunRecord]],
    make_cell: Callable[..., Cell],
    device: str = "cpu",
) -> tuple[str, str]:
    """What the claims table says where each role's cell had these trace runs."""
    cells = [
        CellData(role, make_cell(), "evidence", None, None, traces=list(found))
        for role, found in runs.items()
    ]
    claim = dataclasses.replace(claim, cells={role: role for role in claim.cells})
    manifest = {"claims": [dataclasses.asdict(claim)], "device": device}
    study = StudyData("s", manifest, cells, [], 0)
    row = claims_table(study, cell_table(study)).iloc[0]
    return row["answer"], row["why"]


def claim_of(rule: str, *roles: str, **more: Any) -> Claim:
    return Claim.from_json(
        {
            "name": "c",
            "source": "s",
            "says": "so",
            "rule": rule,
            "cells": dict.fromkeys(roles, "words"),
            **more,
        }
    )


@pytest.fixture
def runs(trace: Make) -> Callable[..., list[RunRecord]]:
    def make(*repeats: Repeat, copies: int = 1, outcome: Outcome = Outcome.ok) -> list[RunRecord]:
        all_ = [one for one in repeats for _ in range(copies)]
        return [trace(number, one, outcome=outcome) for number, one in enumerate(all_, 1)]

    return make


Runs = Callable[..., list[RunRecord]]
MakeCell = Callable[..., Cell]


@pytest.mark.parametrize(
    ("rule", "same", "differing"),
    [("identical", Answer.holds, Answer.fails), ("varies", Answer.fails, Answer.holds)],
)
def test_sameness_is_told_both_ways(
    rule: str, same: str, differing: str, runs: Runs, make_cell: MakeCell
) -> None:
    claim = claim_of(rule, "it")
    assert answer(claim, {"it": runs(SAME, copies=10)}, make_cell)[0] == same
    assert answer(claim, {"it": runs(SAME, OTHER)}, make_cell)[0] == differing


def test_a_parting_before_the_component_of_the_claim_decides_nothing(
    runs: Runs, make_cell: MakeCell
) -> None:
    early = runs(SAME, OTHER)  # parts at buffers
    rows = [dataclasses.replace(step, buffers="a", loss="a") for step in OTHER.steps]
    late = runs(SAME, dataclasses.replace(OTHER, steps=rows))  # parts at grads
    claim = claim_of("varies", "it", component="grads")
    assert answer(claim, {"it": late}, make_cell)[0] == Answer.holds
    assert answer(claim, {"it": early}, make_cell)[0] == Answer.open


def test_a_difference_that_only_a_timing_run_showed_is_told_as_one(
    runs: Runs, timing: Make, make_cell: MakeCell
) -> None:
    cell = CellData(
        "it",
        make_cell(),
        "evidence",
        None,
        None,
        traces=runs(SAME, copies=10),
        timings=[timing(1, 1.0, final="b")],
    )
    claim = dataclasses.replace(claim_of("identical", "it"), cells={"it": "it"})
    manifest = {"claims": [dataclasses.asdict(claim)], "device": "cpu"}
    study = StudyData("s", manifest, [cell], [], 0)
    row = claims_table(study, cell_table(study)).iloc[0]
    assert row["answer"] == Answer.fails
    assert "timing runs differ" in row["why"]


def test_sameness_of_few_runs_is_not_decided(runs: Runs, make_cell: MakeCell) -> None:
    told, why = answer(claim_of("identical", "it"), {"it": runs(SAME, copies=9)}, make_cell)
    assert told == Answer.open
    assert "needs at least 10 runs" in why


def test_a_cure_needs_an_illness(runs: Runs, make_cell: MakeCell) -> None:
    claim = claim_of("cured", "untreated", "treated")
    well, ill = runs(SAME, copies=10), runs(SAME, OTHER)
    assert answer(claim, {"untreated": ill, "treated": well}, make_cell)[0] == Answer.holds
    assert answer(claim, {"untreated": ill, "treated": ill}, make_cell)[0] == Answer.fails
    told, why = answer(claim, {"untreated": well, "treated": well}, make_cell)
    assert told == Answer.open
    assert "nothing to fix" in why


def test_two_cells_of_one_result_each_are_compared(runs: Runs, make_cell: MakeCell) -> None:
    claim = claim_of("unequal", "one", "other")
    a, b = runs(SAME, copies=2), runs(OTHER, copies=2)
    assert answer(claim, {"one": a, "other": b}, make_cell)[0] == Answer.holds
    assert answer(claim, {"one": a, "other": a}, make_cell)[0] == Answer.fails
    assert answer(claim, {"one": a, "other": [*a, *b]}, make_cell)[0] == Answer.open


def test_two_cells_are_the_same_bits_only_in_enough_runs(runs: Runs, make_cell: MakeCell) -> None:
    claim = claim_of("equal", "one", "other")
    a, b = runs(SAME, copies=10), runs(OTHER, copies=10)
    assert answer(claim, {"one": a, "other": a}, make_cell)[0] == Answer.holds
    assert answer(claim, {"one": a, "other": b}, make_cell)[0] == Answer.fails
    assert answer(claim, {"one": a, "other": [*a, *b]}, make_cell)[0] == Answer.open
    told, why = answer(claim, {"one": a, "other": a[:9]}, make_cell)
    assert told == Answer.open
    assert "needs at least 10 runs; other has 9" in why


def test_a_claim_whose_cells_could_not_run_here_says_why(make_cell: MakeCell) -> None:
    document = dataclasses.asdict(dataclasses.replace(claim_of("varies", "it"), cells={"it": "k"}))
    manifest = {"claims": [document], "device": "cpu", "missing": {"k": "extra 'keras' missing"}}
    mlp = CellData("mlp", make_cell(), "evidence", None, None)
    study = StudyData("s", manifest, [mlp], [], 0)
    row = claims_table(study, cell_table(study)).iloc[0]
    assert (row["answer"], row["why"]) == (Answer.open, "extra 'keras' missing")


def test_refusal_is_told_both_ways(runs: Runs, make_cell: MakeCell) -> None:
    claim = claim_of("refused", "it")
    refused = runs(SAME, outcome=Outcome.refused)
    assert answer(claim, {"it": refused}, make_cell)[0] == Answer.holds
    assert answer(claim, {"it": runs(SAME, copies=2)}, make_cell)[0] == Answer.fails


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"equals": 3}, Answer.holds),
        ({"equals": 4}, Answer.fails),
        ({"above": 2}, Answer.holds),
        ({"above": 3}, Answer.fails),
        ({"at_most": 3}, Answer.holds),
        ({"at_most": 2}, Answer.fails),
    ],
)
def test_every_training_must_tell_the_fact(
    wanted: dict[str, float], told: str, runs: Runs, make_cell: MakeCell
) -> None:
    claim = claim_of("facts", "it", facts=[{"cell": "it", "path": "epochs.[].again", **wanted}])
    telling = dataclasses.replace(SAME, facts={"epochs": [{"again": 3}, {"again": 3}]})
    assert answer(claim, {"it": runs(telling, copies=2)}, make_cell)[0] == told
    assert answer(claim, {"it": runs(SAME)}, make_cell)[0] == Answer.open


def test_a_spread_is_held_against_its_limit(runs: Runs, make_cell: MakeCell) -> None:
    apart = runs(
        dataclasses.replace(SAME, losses=[1.0, 1.0]), dataclasses.replace(OTHER, losses=[1.0, 1.1])
    )
    for limit, at_most, above in (
        (0.2, Answer.holds, Answer.fails),
        (0.05, Answer.fails, Answer.holds),
    ):
        for rule, told in (("spread_at_most", at_most), ("spread_above", above)):
            assert answer(claim_of(rule, "it", limit=limit), {"it": apart}, make_cell)[0] == told


def test_the_larger_of_two_spreads_is_told(runs: Runs, make_cell: MakeCell) -> None:
    wide = runs(*(dataclasses.replace(OTHER, accuracy=0.1 * n) for n in range(10)))
    narrow = runs(*(dataclasses.replace(OTHER, accuracy=0.01 * n) for n in range(10)))
    claim = claim_of("spread_larger", "one", "other")
    assert answer(claim, {"one": wide, "other": narrow}, make_cell)[0] == Answer.holds
    assert answer(claim, {"one": narrow, "other": wide}, make_cell)[0] == Answer.fails
    assert answer(claim, {"one": wide, "other": wide}, make_cell)[0] == Answer.open
    alike = runs(*(dataclasses.replace(OTHER, accuracy=0.12 * n) for n in range(10)))
    assert answer(claim, {"one": alike, "other": wide}, make_cell)[0] == Answer.open
    still = runs(*(dataclasses.replace(OTHER, accuracy=0.5) for _ in range(10)))
    assert answer(claim, {"one": narrow, "other": still}, make_cell)[0] == Answer.holds


@pytest.mark.parametrize(("seconds", "told"), [(1.0, Answer.holds), (1.5, Answer.fails)])
def test_a_cost_is_held_against_its_limit(
    seconds: float, told: str, timing: Make, make_cell: MakeCell
) -> None:
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
    claim = dataclasses.replace(claim_of("not_dearer", "it", limit=1.05), cells={"it": "it"})
    study = StudyData(
        "s", {"claims": [dataclasses.asdict(claim)], "device": "cpu"}, [base, it], [], 0
    )
    assert claims_table(study, cell_table(study)).iloc[0]["answer"] == told


def test_the_relatively_wider_of_accuracy_and_loss_is_told(runs: Runs, make_cell: MakeCell) -> None:
    def scattered(accuracy: float, loss: float) -> list[RunRecord]:
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

    claim = claim_of("wider_relatively", "it")
    assert answer(claim, {"it": scattered(0.4, 0.01)}, make_cell)[0] == Answer.holds
    assert answer(claim, {"it": scattered(0.01, 0.4)}, make_cell)[0] == Answer.fails
    assert answer(claim, {"it": scattered(0.05, 0.1)}, make_cell)[0] == Answer.open
    assert answer(claim, {"it": scattered(0, 0)}, make_cell)[1].endswith("did not vary")
    assert answer(claim, {"it": runs(SAME, OTHER)}, make_cell)[0] == Answer.open


def test_a_move_is_held_against_the_scatter(runs: Runs, make_cell: MakeCell) -> None:
    def around(mean: float) -> list[RunRecord]:
        return runs(*(dataclasses.replace(OTHER, accuracy=mean + 0.001 * n) for n in range(10)))

    claim = claim_of("moves_more", "one", "other")
    for mean, told in ((0.7, Answer.holds), (0.5, Answer.fails), (0.503, Answer.open)):
        assert answer(claim, {"one": around(0.5), "other": around(mean)}, make_cell)[0] == told


def test_losses_agree_for_so_many_steps_or_do_not(runs: Runs, make_cell: MakeCell) -> None:
    late = repeat("b", ("a", "a", "a", "b"))
    found = {"it": runs(repeat("a", ("a", "a", "a", "a")), late)}
    for limit, told in ((3, Answer.holds), (4, Answer.fails)):
        assert answer(claim_of("agree_at_first", "it", limit=limit), found, make_cell)[0] == told
    still = {"it": runs(SAME, copies=2)}
    assert answer(claim_of("agree_at_first", "it", limit=1), still, make_cell)[0] == Answer.open


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.8, Answer.holds), (1.0, Answer.fails), (1.2, Answer.fails)]
)
def test_the_time_of_an_example_is_compared(
    seconds: float, told: str, timing: Make, make_cell: MakeCell
) -> None:
    """Steps of 32 examples against steps of 16 that take half as long."""
    cells = []
    for role, batch, time in (("one", 32, seconds), ("other", 16, 0.5)):
        asked = make_cell()
        sized = dataclasses.replace(asked.scenario, options={"batch_size": batch})
        runs = [timing(n, time * (1 + n / 1000)) for n in range(1, 9)]
        cell = dataclasses.replace(asked, scenario=sized)
        cells.append(CellData(role, cell, "asked", role, None, timings=runs))
    claim = dataclasses.replace(
        claim_of("faster_each", "one", "other"), cells={"one": "one", "other": "other"}
    )
    study = StudyData("s", {"claims": [dataclasses.asdict(claim)], "device": "cpu"}, cells, [], 0)
    assert claims_table(study, cell_table(study)).iloc[0]["answer"] == told


def test_a_claim_about_another_device_is_not_decided(runs: Runs, make_cell: MakeCell) -> None:
    claim = claim_of("identical", "it", needs="cuda")
    told, why = answer(claim, {"it": runs(SAME, copies=10)}, make_cell)
    assert told == Answer.open
    assert "CUDA" in why
    assert answer(claim, {"it": runs(SAME, copies=10)}, make_cell, "cuda")[0] == Answer.holds


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rule": "guessed"}, "rule 'guessed'"),
        ({"needs": "tpu"}, "needs 'tpu'"),
        ({"cells": {"that": "x"}}, "names the cells"),
        ({"colour": "red"}, "colour"),
        ({"rule": "spread_above"}, "needs a limit"),
        ({"component": "mood"}, "component 'mood' must be one of rng"),
    ],
)
def test_a_claim_that_names_what_does_not_exist_is_refused(
    changes: dict[str, Any], told: str
) -> None:
    right = {"name": "c", "source": "s", "says": "so", "rule": "identical", "cells": {"it": "x"}}
    with pytest.raises(UsageError, match=told):
        Claim.from_json({**right, **changes})


def test_every_rule_has_its_code() -> None:
    for rule in RULES.keys() - {"no_experiment"}:
        assert rule_function(rule).__doc__ or rule in (
            "identical",
            "varies",
            "refused",
            "spread_above",
        )


def test_shipped_claims_are_whole_and_no_name_is_given_twice() -> None:
    names = [path.stem for path in (CONF / "claims").glob("*.yaml")]
    claims = [claim.name for claim in load_claims(names)]
    assert len(claims) == len(set(claims)) > 47


def test_a_claim_about_each_of_several_things_is_one_claim_of_each() -> None:
    told = {claim.name: claim for claim in load_claims(["pytorch_note"])}
    assert "scenario.op=bincount" in told["atomics-forward-bincount"].cells["it"]
    assert told["atomics-backward-ctc_loss"].says.startswith("ctc_loss is")
    assert not any("each" in name for name in told)
