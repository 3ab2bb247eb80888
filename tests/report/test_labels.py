"""Labels name a script by its file, and its variants by the words in which they differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from harness.analysis.study_data import CellData, StudyData
from harness.core.spec import Cell, Scenario
from harness.report.labels import scenario_labels

Variant = tuple[str, list[str], int]  # path, arguments, processes


@pytest.mark.parametrize(
    ("variants", "labels"),
    [
        ([("train.py", ["--lr=0.1"], 1)], ["train.py"]),
        (
            [("train.py", ["--lr", "1", "--fast"], 1), ("train.py", ["--lr", "2", "--fast"], 1)],
            ["train.py (--lr 1)", "train.py (--lr 2)"],
        ),
        ([("train.py", [], 1), ("train.py", [], 2)], ["train.py", "train.py (processes=2)"]),
        ([("a.py", ["--x"], 1), ("b.py", ["--y"], 1)], ["a.py", "b.py"]),
        ([("a/train.py", [], 1), ("b/train.py", [], 1)], ["a/train.py", "b/train.py"]),
        (
            [("train.py", ["x", "y=1"], 1), ("train.py", ["x", "y=2"], 1), ("train.py", ["x"], 1)],
            ["train.py (y=1)", "train.py (y=2)", "train.py"],
        ),
    ],
)
def test_scripts_are_named_by_what_tells_them_apart(
    variants: list[Variant], labels: list[str], make_cell: Callable[..., Cell]
) -> None:
    """A file alone suffices if no other script has its name; equal words are left out."""
    cells = [_script_cell(make_cell(), *variant) for variant in variants]
    study = StudyData("s", {}, [CellData(c.id, c, "asked", None, None) for c in cells], [], 0)
    assert scenario_labels(study, [_row(cell) for cell in cells]) == labels


def test_a_scenario_is_named_with_its_overrides(make_cell: Callable[..., Cell]) -> None:
    """All of its overrides are shown, and the device if there are several."""
    cell = make_cell()
    study = StudyData("s", {}, [CellData(cell.id, cell, "asked", None, None)], [], 0)
    rows = [_row(cell) | {"overrides": "scenario.steps=5"}, _row(cell) | {"device": "cuda"}]
    assert scenario_labels(study, rows) == ["mlp (steps=5, cpu)", "mlp (cuda)"]


def _script_cell(cell: Cell, path: str, arguments: list[str], processes: int) -> Cell:
    options: dict[str, Any] = {"path": path, "module": None, "args": arguments}
    scenario = Scenario("script", "script", options, framework="script")
    words = (f"scenario.args={arguments}", f"scenario.path={path}")
    if processes > 1:
        words = (*words, f"scenario.processes={processes}")
    return dataclasses.replace(cell, scenario=scenario, overrides=words)


def _row(cell: Cell) -> dict[Any, Any]:
    return {"cell": cell.id, "scenario": cell.scenario.label, "overrides": "", "device": "cpu"}
