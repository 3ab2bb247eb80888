"""The gate's own program, as a user would start it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from harness.analysis.study_data import CellData, StudyData
from tests.conftest import harness

LIMIT = "cost at most 1.1"


def check(cwd: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The program itself, not on a CI runner unless these variables say so."""
    outside = {"GITHUB_ACTIONS": "", "GITHUB_STEP_SUMMARY": ""}
    return harness("check", *words, cwd=cwd, **(outside | environment))


def made_up(*cells: CellData) -> StudyData:
    manifest = {
        "request": {"study": {"control": "indexing"}, "not_for_conclusions": False},
        "software": {"threads": 2, "torch": "2.13.0"},
        "machine": {"cpu": "a <CPU> & more"},
        "cuda": [],
        "created": "2026-01-01T00:00:00Z",
        "words": ["scenario=mlp"],
    }
    return StudyData("made-up", manifest, list(cells), [], 0)
