"""What a reader is warned of, on made-up studies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.study_data import CellData, StudyData
from harness.core.record import RunRecord, read_distances
from harness.core.spec import Cell
from harness.report.caveats import cell_caveats, study_caveats
from tests.conftest import repeat

Make = Callable[..., RunRecord]


def study(**changes: Any) -> StudyData:
    """A study that gives no reason to warn, but for these entries of its manifest."""
    request = {
        "not_for_conclusions": False,
        "settings_for_cuda": [],
        "runs": {"trace": 30, "timing": 20},
    }
    manifest = {"request": request, "repeat_of": None, "cuda": [], **changes}
    return StudyData("s", manifest, [], [], 0)


def test_a_study_with_nothing_to_warn_of_warns_of_nothing() -> None:
    assert list(study_caveats(study())) == []


def test_a_study_that_repeats_another_names_it_and_asks_to_read_both() -> None:
    (caution,) = study_caveats(study(repeat_of="20260101-000000-mlp-c0de"))
    assert caution.what.startswith("This study repeats 20260101-000000-mlp-c0de")
    assert caution.advice.startswith("Read both")


@pytest.mark.parametrize("content", [None, "", '{"mlp.trace.2": {"refer', "[1, 2]"])
def test_runs_that_parted_without_whole_distances_are_told_as_not_measured(
    content: str | None, tmp_path: Path, make_cell: Callable[..., Cell], trace: Make
) -> None:
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
    (caution,) = cell_caveats(cell)
    assert caution.what == "c: runs diverged, but their distance was not measured."
