"""Paths of the harness's own files and of studies."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
IMPORT_ROOT = PACKAGE.parent  # must be on a worker's module path


def _shipped(name: str) -> Path:
    """Return a folder that is next to the package in a checkout and inside it in a wheel."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else IMPORT_ROOT / name


CONF = _shipped("conf")
SCENARIOS = _shipped("scenarios")

# Relative to the working directory.
RESULTS = Path("results")
PUBLISHED = RESULTS / "published"

# In a study's folder.
BLOCKS = "blocks.json"  # timing blocks by cell, once they are decided
RECIPE = "recipe.json"  # if `recipe` made the study
DEPENDENCE = "dependence.json"  # if `perturb` made it
BUDGET = "budget.json"  # if the time budget ended before all planned runs


# What a study keeps only as long as its runs need it.


def source_of(study: Path) -> Path:
    """Return the copy of the working directory from which each run of a script makes its own."""
    return study / "source"


def snapshots_of(study: Path, cell: str) -> Path:
    """Return the folder of a cell's parameter snapshots."""
    return study / "snapshots" / cell


def operations_of(study: Path) -> Path:
    """Return the folder of operation logs and of saved states."""
    return study / "operations"


def jobs_folder(study: Path) -> Path:
    """Return where a study on a cluster keeps its jobs."""
    return study / "jobs"


def compiled_of(study: Path, run_id: str) -> Path:
    """Return where a run keeps its compiled code."""
    return study / "compiled" / run_id
