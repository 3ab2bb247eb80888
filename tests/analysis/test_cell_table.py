"""The costs of cells pair what ran together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from harness.analysis.cell_table import cost_ratio, twin_ratio
from harness.analysis.study_data import StudyData, read_study
from harness.core.record import RunRecord


def on_cluster(study: Path, allocation_of: Callable[[RunRecord], str]) -> StudyData:
    measured = read_study(study)
    for cell in measured.cells:
        for runs in (cell.timings, cell.twins):
            runs[:] = [replace(run, node={"allocation": allocation_of(run)}) for run in runs]
    return measured


def test_times_of_two_allocations_make_no_cost(study: Path) -> None:
    """One block of two that was timed in two places is left out, and one block is too few."""
    alone = read_study(study)
    together = on_cluster(study, lambda run: f"block {run.spec.number}")
    of_cell = on_cluster(study, lambda run: f"{run.spec.cell.setting} {run.spec.number == 1}")
    of_twin = on_cluster(study, lambda run: f"{run.spec.twin and run.spec.number == 1}")
    costs = 0
    for index, cell in enumerate(alone.cells):
        ratio = cost_ratio(alone, cell)
        assert cost_ratio(together, together.cells[index]) == ratio
        assert cost_ratio(of_cell, of_cell.cells[index]) is None
        if cell.twins:
            assert twin_ratio(together.cells[index]) == twin_ratio(cell) is not None
            assert twin_ratio(of_twin.cells[index]) is None
        costs += ratio is not None
    assert costs
