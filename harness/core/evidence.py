"""The files of a study that everything else in its folder is made from."""

from __future__ import annotations

import shutil
from pathlib import Path

from harness.core.paths import BLOCKS, BUDGET, DEPENDENCE, RECIPE
from harness.core.run_archive import ARCHIVE, pack

# With its runs; some studies lack the last four.
EVIDENCE = ("manifest.json", "schedule.json", "diagnosis.json", RECIPE, DEPENDENCE, BLOCKS, BUDGET)


class LinkError(ValueError):
    """A file of the study is a link, which could lead to anything."""


def copy_evidence(study: Path, target: Path) -> None:
    """Copy it into a new folder, with the runs in an archive. Raises LinkError or OSError."""
    runs = study / "runs"
    sources = [study / name for name in (*EVIDENCE, ARCHIVE)]
    for path in (runs, *sources, *runs.glob("*.json")):
        if path.is_symlink():
            raise LinkError(f"{path} is a link, which could lead to anything")
    target.mkdir()
    for path in sources:
        if path.exists():
            shutil.copyfile(path, target / path.name)
    if not (target / ARCHIVE).exists():
        pack(study, [f"runs/{path.name}" for path in runs.glob("*.json")], target / ARCHIVE)
