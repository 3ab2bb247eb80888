"""What a figure's marks say of made-up cells."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from harness.analysis.cell_table import cell_table
from harness.analysis.study_data import CellData, StudyData
from harness.core.record import Repeat, RunRecord
from harness.core.spec import Cell
from harness.report.plot_base import Figure
from harness.report.plots import reproducibility
from tests.conftest import repeat

Make = Callable[..., RunRecord]
Draw = Callable[..., Figure]
HOLLOW = r'<use [^>]*style="fill: #ffffff'  # a marker in SVG: one in the plot, one in the legend


@pytest.fixture
def draw(make_cell: Callable[..., Cell], trace: Make, timing: Make) -> Draw:
    """Distance against cost, of one cell with these trainings and these ends of timing runs."""

    def make(trainings: list[Repeat], ends: str) -> Figure:
        traces = [trace(number, one) for number, one in enumerate(trainings, 1)]
        timings = [timing(block, 0.1, end) for block, end in enumerate(ends)]
        far = {"1": {"rel_l2": 0.5, "max_ulp": 1, "differing": 0.5}}
        distances = {
            run.run_id: {"reference": "a", "repeats": [far]}
            for run in traces
            if run.repeats[0].final["params"] != "a"
        }
        cell = CellData("c", make_cell(), "asked", None, None, traces, timings, [], distances)
        study = StudyData("s", {}, [cell], [], 0)
        figure = reproducibility(study, cell_table(study))
        assert figure is not None
        return figure

    return make


def test_a_cell_that_is_identical_is_filled(draw: Draw) -> None:
    figure = draw([repeat("a"), repeat("a")], ends="aa")
    assert not re.findall(HOLLOW, str(figure.svg))


def test_a_cell_that_varies_only_when_timed_is_hollow_on_the_bottom_line(draw: Draw) -> None:
    figure = draw([repeat("a"), repeat("a")], ends="ab")
    assert len(re.findall(HOLLOW, str(figure.svg))) == 2
    assert "Hollow: the weights agree but the cell varies" in figure.caption


def test_a_cell_whose_losses_alone_vary_is_hollow_too(draw: Draw) -> None:
    figure = draw([repeat("a", ("a", "a")), repeat("a", ("a", "b"))], ends="aa")
    assert len(re.findall(HOLLOW, str(figure.svg))) == 2


def test_a_cell_with_a_measured_distance_is_filled(draw: Draw) -> None:
    figure = draw([repeat("a"), repeat("b")], ends="aa")
    assert not re.findall(HOLLOW, str(figure.svg))
