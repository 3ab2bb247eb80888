"""The markers that the plot of reproducibility against cost has for synthetic cells."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from harness.analysis.cell_table import cell_table
from harness.analysis.study_data import CellData, StudyData
from harness.core.record import Repeat, RunRecord
from harness.core.spec import Cell
from harness.report.figures.base import PAPER, Figure
from harness.report.figures.divergence import divergence, two_runs
from harness.report.figures.reproducibility import reproducibility
from harness.report.figures.tradeoff import tradeoff
from tests.conftest import ROOT, repeat

PUBLISHED = ROOT / "results" / "published"
Make = Callable[..., RunRecord]
Draw = Callable[..., Figure]
# A marker of the page's color in SVG.
HOLLOW = f'<use [^>]*style="fill: {PAPER}'


@pytest.fixture
def draw(make_cell: Callable[..., Cell], trace: Make, timing: Make) -> Draw:
    """Makes the plot of a cell with these trainings and these final digests of timing runs."""

    def make(trainings: list[Repeat], ends: str) -> Figure:
        traces = [trace(number, training) for number, training in enumerate(trainings, 1)]
        timings = [timing(block, 0.1, end) for block, end in enumerate(ends)]
        far = {"1": {"rel_l2": 0.5, "max_ulp": 1, "differing": 0.5}}
        distances = {
            run.run_id: {"reference": "a", "repeats": [far]}
            for run in traces
            if run.repeats[0].final["params"] != "a"
        }
        cell = CellData("c", make_cell(), "asked", None, None, traces, timings, [], distances)
        study = StudyData("s", {}, [cell], [], 0)
        figure = reproducibility(cell_table(study))
        assert figure is not None
        return figure

    return make


def test_an_identical_cell_is_filled(draw: Draw) -> None:
    """The marker is filled if all trace and timing runs of the cell agree."""
    figure = draw([repeat("a"), repeat("a")], ends="aa")
    assert not re.findall(HOLLOW, str(figure.svg))


def test_a_cell_that_varies_only_when_timed_is_hollow(draw: Draw) -> None:
    """The marker is hollow, as the caption says, if only timing runs of the cell differ."""
    figure = draw([repeat("a"), repeat("a")], ends="ab")
    assert len(re.findall(HOLLOW, str(figure.svg))) == 1
    assert "Hollow: the weights agree but the cell varies" in figure.caption


def test_a_cell_that_varies_with_equal_weights_is_hollow(draw: Draw) -> None:
    """The marker is hollow if steps differ but the final weights agree."""
    figure = draw([repeat("a", ("a", "a")), repeat("a", ("a", "b"))], ends="aa")
    assert len(re.findall(HOLLOW, str(figure.svg))) == 1


def test_a_cell_with_a_measured_distance_is_filled(draw: Draw) -> None:
    """The marker is filled if the cell varies at a distance above 0."""
    figure = draw([repeat("a"), repeat("b")], ends="aa")
    assert not re.findall(HOLLOW, str(figure.svg))


def test_trainings_without_losses_are_drawn(make_cell: Callable[..., Cell], trace: Make) -> None:
    """A cell in which some trainings have a step without a loss has no curve of losses."""
    trainings = [repeat("a"), repeat("b", losses=[]), repeat("c")]
    traces = [trace(number, training) for number, training in enumerate(trainings, 1)]
    study = StudyData(
        "s", {}, [CellData("c", make_cell(), "asked", None, None, traces, [], [], {})], [], 0
    )
    assert two_runs(study, cell_table(study)) is None
    assert divergence(study, cell_table(study)) is not None


TIGHT = (
    "determinism.algorithms=require determinism.fill_uninitialized_memory=false "
    "determinism.seed=42 determinism.seeds.numpy=false determinism.seeds.python=false"
)


def test_the_tradeoff_has_a_point_for_each_set_with_a_cost() -> None:
    """Its own, or that of a set that differs only in seeds; others are omitted."""
    row = {
        "twin": False,
        "baseline": "a",
        "same_as": "",
        "trace_runs": 6,
        "determinism": "seed",
        "cost_low": 1.0,
        "cost_high": 1.1,
    }
    row |= {"differ": 3, "differ_of": 6, "divergence_rate_upper": 0.1}
    sets = [
        {"cell": "a", "overrides": "", "verdict": "varies", "cost_ratio": None},
        {"cell": "e", "overrides": "", "verdict": "varies"},
        {"cell": "b", "overrides": TIGHT, "verdict": "identical", "cost_ratio": 1.05},
        {"cell": "c", "overrides": "determinism.threads=1", "verdict": "varies"},
        {"cell": "d", "overrides": "determinism.algorithms=require", "verdict": "varies"},
    ]
    sets[1]["determinism"] = sets[4]["determinism"] = "none"
    table = pd.DataFrame([{**row, **one} for one in sets])
    recipe = {"cell": "b", "kept": {"seeds.torch": 42, "algorithms": "require"}}
    recipe |= {"unneeded": ["seeds.numpy", "seeds.python", "threads", "fill_uninitialized_memory"]}
    recipe |= {"timed_as": {"d": "b", "e": "a"}}
    figure = tradeoff(table, recipe)
    assert figure is not None
    svg = str(figure.svg)
    assert set(re.findall(r"\b\d  ([^<>]+?)(?: -->|<)", svg)) == {
        "seed of torch and numpy and python",
        "no switch",
        "seed of torch, algorithms",
        "algorithms",
    }
    assert tradeoff(table, None) is None
    assert tradeoff(table, {"cell": ""}) is None


@pytest.mark.parametrize(
    "study", sorted(PUBLISHED.glob("*/figures")), ids=lambda path: path.parent.name
)
def test_no_published_figure_draws_an_unknown_number(study: Path) -> None:
    """A baseline has no cost of its own; `verify` makes each figure again by this code."""
    drawn = [path.name for path in study.glob("*.svg") if re.search(r">nan\b", path.read_text())]
    assert drawn == []
