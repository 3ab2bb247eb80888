"""Time and memory of the site of fifty studies, which are copies of the published ones."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path

from benchmarks.report import measured
from harness.core.protocol import module_command

PUBLISHED = Path("results/published")
STUDIES = 50


def run() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        published, target = Path(scratch) / "published", Path(scratch) / "site"
        folders = itertools.cycle(sorted(PUBLISHED.glob("*/")))
        for number, folder in zip(range(STUDIES), folders, strict=False):
            shutil.copytree(folder, published / f"{folder.name}-{number}")
        wall_s, peak_mb = measured(module_command("harness.site", str(published), str(target)))
        size = sum(path.stat().st_size for path in target.rglob("*"))
    print(
        f"site of {STUDIES} studies: {wall_s:.1f} s, {peak_mb:,.0f} MB, {size / 1e6:,.0f} MB on "
        "disk  (under 30 s)"
    )
