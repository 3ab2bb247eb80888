"""Claims that cannot be judged: a cell is missing, or they are about another device."""

from __future__ import annotations

import dataclasses

from harness.analysis.claims.ruling import Answer
from harness.analysis.study_data import CellData
from tests.analysis.claims.conftest import MakeCell, Runs, judge_cells, judge_runs, make_claim
from tests.conftest import repeat

SAME, OTHER = repeat(), repeat("b", ("a", "b"))


def test_a_claim_whose_cell_is_missing_says_why(make_cell: MakeCell) -> None:
    """A claim whose cell could not run here is undecided, for the recorded reason."""
    claim = dataclasses.replace(make_claim("varies", "it"), cells={"it": "k"})
    mlp = CellData("mlp", make_cell(), "evidence", None, None)
    result = judge_cells(claim, [mlp], missing={"k": "extra 'keras' missing"})
    assert result == (Answer.open, "extra 'keras' missing")


def test_a_claim_about_another_device_is_undecided(runs: Runs, make_cell: MakeCell) -> None:
    """A claim about CUDA devices is decided by a study on CUDA and by no other."""
    claim = make_claim("identical", "it", needs="cuda")
    result, why = judge_runs(claim, {"it": runs(SAME, copies=10)}, make_cell)
    assert result == Answer.open
    assert "CUDA" in why
    assert judge_runs(claim, {"it": runs(SAME, copies=10)}, make_cell, "cuda")[0] == Answer.holds
