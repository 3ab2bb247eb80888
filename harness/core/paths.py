"""Where the harness finds its own files, and where studies go."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
IMPORT_ROOT = PACKAGE.parent  # what a worker needs on its module path


def _shipped(name: str) -> Path:
    """A folder that lies beside the package in a checkout and inside it in an installed wheel."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else IMPORT_ROOT / name


CONF = _shipped("conf")
SCENARIOS = _shipped("scenarios")

# Relative to where the command is typed.
RESULTS = Path("results")
PUBLISHED = RESULTS / "published"
