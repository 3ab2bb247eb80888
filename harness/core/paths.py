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
