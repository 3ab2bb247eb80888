"""Runs the gate as a user would, and makes studies for it."""

from __future__ import annotations

from pathlib import Path

from harness.analysis.study_data import CellData, StudyData
from harness.check.__main__ import main
from tests.conftest import Done, command, harness

LIMIT = "cost at most 1.1"


OUTSIDE = {"GITHUB_ACTIONS": "", "GITHUB_STEP_SUMMARY": ""}  # of a GitHub runner


def check(cwd: Path, *words: str, **environment: str) -> Done:
    """Runs `python -m harness check`."""
    return harness("check", *words, cwd=cwd, **(OUTSIDE | environment))


def judge(cwd: Path, *words: str, **environment: str) -> Done:
    """Runs the gate in this process, where a broken requirement has status FINDING."""
    return command(*words, cwd=cwd, program=main, **(OUTSIDE | environment))


def make_study(*cells: CellData) -> StudyData:
    """A synthetic study, whose manifest has all that the gate reads."""
    manifest = {
        "request": {"study": {"control": "indexing"}, "not_for_conclusions": False},
        "software": {"threads": 2, "torch": "2.13.0"},
        "machine": {"cpu": "a <CPU> & more"},
        "cuda": [],
        "created": "2026-01-01T00:00:00Z",
        "words": ["scenario=mlp"],
    }
    return StudyData("made-up", manifest, list(cells), [], 0)
