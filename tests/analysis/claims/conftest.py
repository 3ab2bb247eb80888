"""Makes claims, and judges them on synthetic runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from harness.analysis.cell_table import cell_table
from harness.analysis.claims.judge import claims_table
from harness.analysis.study_data import CellData, StudyData
from harness.core.claims import Claim
from harness.core.record import Outcome, Repeat, RunRecord
from harness.core.spec import Cell

Make = Callable[..., RunRecord]

MakeCell = Callable[..., Cell]

Runs = Callable[..., list[RunRecord]]


def judge_cells(claim: Claim, cells: list[CellData], **manifest: Any) -> tuple[str, str]:
    """The answer and the reason that the claims table gives in a study of these cells."""
    software = {"torch": "2.13.0"}
    manifest = {
        "claims": [dataclasses.asdict(claim)],
        "device": "cpu",
        "software": software,
        **manifest,
    }
    study = StudyData("s", manifest, cells, [], 0)
    row = claims_table(study, cell_table(study)).iloc[0]
    return row["answer"], row["why"]


def judge_runs(
    claim: Claim, runs: dict[str, list[RunRecord]], make_cell: MakeCell, device: str = "cpu"
) -> tuple[str, str]:
    """The answer and the reason if the cell of each role has these trace runs."""
    cells = [
        CellData(role, make_cell(), "evidence", None, None, traces=list(traces))
        for role, traces in runs.items()
    ]
    return judge_cells(claim, cells, device=device)


def make_claim(rule: str, *roles: str, **more: Any) -> Claim:
    """A claim in which the id of each role's cell is the role."""
    return Claim.from_json(
        {
            "name": "c",
            "source": "s",
            "says": "so",
            "rule": rule,
            "cells": {role: role for role in roles},
            **more,
        }
    )


@pytest.fixture
def runs(trace: Make) -> Runs:
    """Makes trace runs, each with one of these trainings."""

    def make(*repeats: Repeat, copies: int = 1, outcome: Outcome = Outcome.ok) -> list[RunRecord]:
        trainings = [training for training in repeats for _ in range(copies)]
        return [trace(n, training, outcome=outcome) for n, training in enumerate(trainings, 1)]

    return make
