"""Each rule on made-up records, both ways; and the shipped claims against the shipped scenarios."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from harness.analysis.cells import cell_table
from harness.analysis.claims import RULES as CODE
from harness.analysis.claims import Answer, claims_table
from harness.analysis.evidence import CellEvidence, StudyEvidence
from harness.claims import RULES, Claim
from harness.config import CONF, claims_in
from harness.errors import UsageError
from harness.record import Outcome, Repeat, RunRecord
from harness.spec import Cell
from tests.conftest import repeat

Make = Callable[..., RunRecord]
SAME, OTHER = repeat(), repeat("b", ("a", "b"))


def answer(claim: Claim, runs: dict[str, list[RunRecord]], make_cell: Callable[..., Cell],
           device: str = "cpu") -> tuple[str, str]:  # fmt: skip
    """What the claims table says where each role's cell had these trace runs."""
    cells = [CellEvidence(role, make_cell(), "evidence", None, None, traces=list(found))
             for role, found in runs.items()]  # fmt: skip
    claim = dataclasses.replace(claim, cells={role: role for role in claim.cells})
    manifest = {"claims": [dataclasses.asdict(claim)], "device": device}
    study = StudyEvidence("s", manifest, cells, [], 0)
    row = claims_table(study, cell_table(study)).iloc[0]
    return row["answer"], row["why"]


def claim_of(rule: str, *roles: str, **more: Any) -> Claim:
    return Claim.from_json({"name": "c", "source": "s", "says": "so", "rule": rule,
                            "cells": dict.fromkeys(roles, "words"), **more})  # fmt: skip


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


def test_sameness_of_few_runs_is_not_decided(runs: Runs, make_cell: MakeCell) -> None:
    told, why = answer(claim_of("identical", "it"), {"it": runs(SAME, copies=9)}, make_cell)
    assert told == Answer.open
    assert "wants 10 runs" in why


def test_a_cure_needs_an_illness(runs: Runs, make_cell: MakeCell) -> None:
    claim = claim_of("cured", "untreated", "treated")
    well, ill = runs(SAME, copies=10), runs(SAME, OTHER)
    assert answer(claim, {"untreated": ill, "treated": well}, make_cell)[0] == Answer.holds
    assert answer(claim, {"untreated": ill, "treated": ill}, make_cell)[0] == Answer.fails
    told, why = answer(claim, {"untreated": well, "treated": well}, make_cell)
    assert told == Answer.open
    assert "nothing to cure" in why


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
    assert "wants 10 runs, and other had 9" in why


def test_a_claim_whose_cells_could_not_run_here_says_why(make_cell: MakeCell) -> None:
    document = dataclasses.asdict(dataclasses.replace(claim_of("varies", "it"), cells={"it": "k"}))
    manifest = {"claims": [document], "device": "cpu", "missing": {"k": "extra 'keras' missing"}}
    mlp = CellEvidence("mlp", make_cell(), "evidence", None, None)
    study = StudyEvidence("s", manifest, [mlp], [], 0)
    row = claims_table(study, cell_table(study)).iloc[0]
    assert (row["answer"], row["why"]) == (Answer.open, "extra 'keras' missing")


def test_refusal_is_told_both_ways(runs: Runs, make_cell: MakeCell) -> None:
    claim = claim_of("refused", "it")
    refused = runs(SAME, outcome=Outcome.refused)
    assert answer(claim, {"it": refused}, make_cell)[0] == Answer.holds
    assert answer(claim, {"it": runs(SAME, copies=2)}, make_cell)[0] == Answer.fails


@pytest.mark.parametrize(
    ("wanted", "told"),
    [({"equals": 3}, Answer.holds), ({"equals": 4}, Answer.fails), ({"above": 2}, Answer.holds),
     ({"above": 3}, Answer.fails), ({"at_most": 3}, Answer.holds), ({"at_most": 2}, Answer.fails)],
)  # fmt: skip
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
    for limit, at_most, above in ((0.2, Answer.holds, Answer.fails),
                                  (0.05, Answer.fails, Answer.holds)):  # fmt: skip
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
    base = CellEvidence("base", make_cell(), "baseline", "base", None,
                        timings=[timing(n, 1 + n / 1000) for n in range(1, 9)])  # fmt: skip
    it = CellEvidence("it", make_cell("full"), "asked", "base", None,
                      timings=[timing(n, seconds + n / 1000) for n in range(1, 9)])  # fmt: skip
    claim = dataclasses.replace(claim_of("not_dearer", "it", limit=1.05), cells={"it": "it"})
    study = StudyEvidence(
        "s", {"claims": [dataclasses.asdict(claim)], "device": "cpu"}, [base, it], [], 0
    )
    assert claims_table(study, cell_table(study)).iloc[0]["answer"] == told


def test_a_claim_about_another_device_is_not_decided(runs: Runs, make_cell: MakeCell) -> None:
    claim = claim_of("identical", "it", needs="cuda")
    told, why = answer(claim, {"it": runs(SAME, copies=10)}, make_cell)
    assert told == Answer.open
    assert "CUDA" in why
    assert answer(claim, {"it": runs(SAME, copies=10)}, make_cell, "cuda")[0] == Answer.holds


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"rule": "guessed"}, "rule 'guessed'"), ({"needs": "tpu"}, "needs 'tpu'"),
     ({"cells": {"that": "x"}}, "gives the cells"), ({"colour": "red"}, "colour"),
     ({"rule": "spread_above"}, "needs a limit")],
)  # fmt: skip
def test_a_claim_that_names_what_does_not_exist_is_refused(
    changes: dict[str, Any], told: str
) -> None:
    right = {"name": "c", "source": "s", "says": "so", "rule": "identical", "cells": {"it": "x"}}
    with pytest.raises(UsageError, match=told):
        Claim.from_json({**right, **changes})


def test_every_rule_has_its_code() -> None:
    assert CODE.keys() | {"no_experiment"} == RULES.keys()


def test_shipped_claims_are_whole_and_no_name_is_given_twice() -> None:
    names = [path.stem for path in (CONF / "claims").glob("*.yaml")]
    claims = [claim.name for claim in claims_in(names)]
    assert len(claims) == len(set(claims)) > 47
