"""The table of first calls, from made-up facts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from harness.analysis.first_calls import first_calls_table
from harness.analysis.study_data import CellData, StudyData
from harness.core.record import RunRecord
from harness.core.spec import Cell, Scenario
from harness.report.content.operations import first_calls_sentence
from tests.conftest import repeat


def make_study(
    make_cell: Callable[..., Cell], trace: Callable[..., RunRecord], **hits: tuple[int, ...]
) -> StudyData:
    """A study with one cell for each operation, whose runs have 250 processes each."""
    cells = []
    for op, counts in hits.items():
        cell = dataclasses.replace(make_cell("seed"), scenario=Scenario(op, "first_op", {}))
        runs = []
        for number, differ in enumerate(counts, 1):
            facts = {"op": op, "processes": 250, "differ": differ, "elements": 0.5, "ulp": 7}
            runs.append(trace(number, dataclasses.replace(repeat(), facts=facts)))
        cells.append(CellData(op, cell, "asked", None, None, traces=runs))
    return StudyData("s", {}, cells, [], 0)


def test_runs_of_an_operation_are_added(
    make_cell: Callable[..., Cell], trace: Callable[..., RunRecord]
) -> None:
    """Processes and differences are summed over runs, and operations that are hit come first."""
    table = first_calls_table(make_study(make_cell, trace, abs=(0, 0), sqrt=(1, 2)))
    assert list(table["operation"]) == ["sqrt", "abs"]
    assert list(table["processes"]) == [500, 500]
    assert list(table["differ"]) == [3, 0]
    assert table["rate_high"][1] == pytest.approx(1 - 0.025 ** (1 / 500))  # the exact interval of 0
    sentence = first_calls_sentence(table)
    assert "for 1 of 2 operations: `sqrt` (3 of 500); no difference was seen for 1" in sentence
    assert "at most 0.6 % of such forks" in sentence
