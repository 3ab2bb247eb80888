"""`diagnose` and a study of `matrix=quick` say the same of every cell."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import harness, study_of

SCENARIOS = ("mlp", "cnn", "resnet", "upsample", "loader", "deepcopy_optimizer", "indexing")
SETTINGS = (
    "none",
    "seed",
    "seed_workers",
    "cudnn",
    "cudnn_off",
    "benchmark",
    "full",
    "full_one_thread",
)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Of a study of its own, whose runs are traced and not timed."""
    cwd = tmp_path_factory.mktemp("quick")
    done = harness(
        "matrix=quick",
        "device=cpu",
        "runs.timing=0",
        "study.baseline=null",
        "study.control=null",
        cwd=cwd,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    cells = pd.read_csv(study_of(done, cwd) / "tables" / "cells.csv")
    return cells.set_index(["scenario", "determinism"])


@pytest.mark.long
def test_all_cells_of_the_matrix_are_asked_for_here(cells: pd.DataFrame) -> None:
    assert set(cells.index) == {(one, other) for one in SCENARIOS for other in SETTINGS}


@pytest.mark.long
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_diagnosis_agrees_with_the_study(
    scenario: str, setting: str, cells: pd.DataFrame, tmp_path: Path
) -> None:
    cell = cells.loc[scenario, setting]
    if isinstance(cell["same_as"], str):
        pytest.skip(f"the same experiment here as {cell['same_as']}, which is diagnosed")
    words = [f"scenario={scenario}", f"determinism={setting}", "device=cpu"]
    done = harness("diagnose", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((study_of(done, tmp_path) / "diagnosis.json").read_text())
    assert found["verdict"] == cell["verdict"]
    if found["verdict"] == "identical":
        assert (found["step"], found["origin_evidence"], found["faults"]) == (None, None, [])
    else:
        assert found["origin_evidence"]["origin"] is not None
        assert found["faults"], found["trials"]
