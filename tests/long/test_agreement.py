"""`diagnose` and a study with `matrix=quick` agree on every cell."""

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
    """The cells of a study without timing runs, by scenario and setting."""
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
def test_every_cell_of_the_matrix_is_compared(cells: pd.DataFrame) -> None:
    """The matrix consists of all pairs of the scenarios and settings that are compared here."""
    assert set(cells.index) == {
        (scenario, setting) for scenario in SCENARIOS for setting in SETTINGS
    }


@pytest.mark.long
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_diagnosis_agrees_with_the_study(
    scenario: str, setting: str, cells: pd.DataFrame, tmp_path: Path
) -> None:
    """Study and diagnosis give one verdict, with an origin and a fault exactly if runs differ."""
    cell = cells.loc[scenario, setting]
    if isinstance(cell["same_as"], str):
        pytest.skip(f"the same experiment as {cell['same_as']}, which is diagnosed")
    words = [f"scenario={scenario}", f"determinism={setting}", "device=cpu"]
    done = harness("diagnose", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    diagnosis = json.loads((study_of(done, tmp_path) / "diagnosis.json").read_text())
    assert diagnosis["verdict"] == cell["verdict"]
    if diagnosis["verdict"] == "identical":
        findings = (diagnosis["step"], diagnosis["origin_evidence"], diagnosis["faults"])
        assert findings == (None, None, [])
    else:
        assert diagnosis["origin_evidence"]["origin"] is not None
        assert diagnosis["faults"], diagnosis["trials"]
