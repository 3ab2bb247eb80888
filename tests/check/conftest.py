"""Runs the gate as a user would, and makes studies for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.study_data import CellData, StudyData
from harness.check.__main__ import main
from harness.check.findings import Finding, find_all
from harness.check.options import parse_options
from harness.check.selection import select_cells
from harness.core.record import RunRecord
from harness.core.spec import Cell
from tests.conftest import Done, command, harness, repeat

LIMIT = "cost at most 1.1"


OUTSIDE = {"GITHUB_ACTIONS": "", "GITHUB_STEP_SUMMARY": ""}  # of a GitHub runner


def check(cwd: Path, *words: str, **environment: str) -> Done:
    """Runs `python -m harness check`."""
    return harness("check", *words, cwd=cwd, **(OUTSIDE | environment))


def judge(cwd: Path, *words: str, **environment: str) -> Done:
    """Runs the gate in this process, where a broken requirement has status FINDING."""
    return command(*words, cwd=cwd, program=main, **(OUTSIDE | environment))


def make_study(*cells: CellData) -> StudyData:
    """A synthetic study, whose manifest has all that the gate reads."""
    manifest = {
        "request": {"study": {"control": "indexing"}, "not_for_conclusions": False},
        "software": {"threads": 2, "torch": "2.13.0"},
        "machine": {"cpu": "a <CPU> & more"},
        "cuda": [],
        "created": "2026-01-01T00:00:00Z",
        "words": ["scenario=mlp"],
    }
    return StudyData("made-up", manifest, list(cells), [], 0)


Make = Callable[..., RunRecord]


MakeData = Callable[..., CellData]


@pytest.fixture
def make_data(make_cell: Callable[..., Cell]) -> MakeData:
    """Makes a cell with these runs; its id is its scenario and setting."""

    def make(setting: str, scenario: str = "mlp", **changes: Any) -> CellData:
        cell = make_cell(setting, scenario)
        defaults: dict[str, Any] = {"role": "asked", "baseline": None, "same_as": None}
        return CellData(cell.id, cell, **{**defaults, **changes})

    return make


def check_study(study: StudyData, *words: str) -> dict[tuple[str, str], Finding]:
    gate = parse_options(["made-up", *words])
    findings = find_all(study, select_cells(study, gate).cells, gate)
    return {(finding.cell, finding.requirement): finding for finding in findings}


def check_cell(cell: CellData, *words: str) -> Finding:
    findings = check_study(make_study(cell), *words)
    return next(finding for (id_, _), finding in findings.items() if id_ == cell.id)


def make_equal_runs(trace: Make, runs: int) -> list[RunRecord]:
    return [trace(number, repeat()) for number in range(1, runs + 1)]


def make_timed_study(
    make_data: MakeData, trace: Make, timing: Make, factors: Sequence[float], **changes: Any
) -> StudyData:
    """A cell whose steps take these multiples of the baseline's, block by block."""
    blocks = list(enumerate(factors, 1))
    base = make_data(
        "seed",
        baseline="mlp-seed-cpu",
        role="baseline",
        traces=make_equal_runs(trace, 2),
        timings=[timing(n, 0.01 * n) for n, _ in blocks],
    )
    defaults = {
        "baseline": base.id,
        "traces": make_equal_runs(trace, 2),
        "timings": [timing(n, 0.01 * n * factor) for n, factor in blocks],
    }
    return make_study(make_data("full", **{**defaults, **changes}), base)
