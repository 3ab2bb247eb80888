"""The caveats that a report shows for synthetic studies."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.controls import Control, Controls, Positive
from harness.analysis.study_data import CellData, StudyData
from harness.core.record import RunRecord, read_distances
from harness.core.spec import Cell
from harness.report.content.caveats import find_caveats, study_caveats
from harness.report.content.cell_caveats import cell_caveats
from tests.conftest import repeat

Make = Callable[..., RunRecord]


def make_study(**changes: Any) -> StudyData:
    """A study without any reason for a caveat, except these entries of its manifest."""
    request = {
        "not_for_conclusions": False,
        "settings_for_cuda": [],
        "runs": {"trace": 30, "timing": 20},
    }
    manifest = {"request": request, "repeat_of": None, "cuda": [], **changes}
    return StudyData("s", manifest, [], [], 0)


def test_an_ordinary_study_has_no_caveats() -> None:
    """A study with enough runs and nothing unusual has no caveats."""
    assert list(study_caveats(make_study())) == []


def test_a_repeated_study_names_the_first() -> None:
    """A study that repeats another one names it and advises to read both."""
    (caveat,) = study_caveats(make_study(repeat_of="20260101-000000-mlp-c0de"))
    assert caveat.what.startswith("This study repeats 20260101-000000-mlp-c0de")
    assert caveat.advice.startswith("Read both")


@pytest.mark.parametrize("content", [None, "", '{"mlp.trace.2": {"refer', "[1, 2]"])
def test_missing_distances_cause_a_caveat(
    content: str | None, tmp_path: Path, make_cell: Callable[..., Cell], trace: Make
) -> None:
    """Runs that diverged without readable distances are reported as not measured."""
    path = tmp_path / "distances.json"
    if content is not None:
        path.write_text(content)
    cell = CellData(
        "c",
        make_cell(),
        "asked",
        None,
        None,
        traces=[trace(1, repeat("a")), trace(2, repeat("b"))],
        distances=read_distances(path),
    )
    (caveat,) = cell_caveats(cell)
    assert caveat.what == "c: runs diverged, but their distance was not measured."


@pytest.mark.parametrize(
    ("dependence", "expected"), [(None, "c1, c2: "), ({"factors": {}}, "2 of 3 cells: ")]
)
def test_the_cells_of_perturb_are_counted(
    dependence: dict[str, Any] | None, expected: str, make_cell: Callable[..., Cell], trace: Make
) -> None:
    """Their ids differ only in a hash; those of other studies are listed."""
    two = [trace(1, repeat("a")), trace(2, repeat("b"))]  # at an unknown distance
    cells = [
        CellData(name, make_cell(), "asked", None, None, traces=traces)
        for name, traces in {"c1": two, "c2": two, "c3": two[:1]}.items()
    ]
    study = dataclasses.replace(make_study(), cells=cells, dependence=dependence)
    caveats = find_caveats(study, Controls([], Positive(Control.off, "")))
    (caveat,) = (one for one in caveats if "not measured" in one.what)
    assert caveat.what.startswith(expected)
