"""The report of the published study with the most cells of trainings, and its page in Chromium."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmarks.report import measured
from harness.core.protocol import module_command

STUDY = Path("results/published/20261126-091956-7-scenarios-71d7")  # matrix=publish
OPENINGS = 9


def run() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / STUDY.name
        shutil.copytree(STUDY, copy)
        wall_s, peak_mb = measured(module_command("harness.report", str(copy)))
        page = copy / "report.html"
        size = page.stat().st_size
        cells = len((copy / "tables" / "cells.csv").read_text().splitlines()) - 1
        interactive = _interactive_s(page)
    print(
        f"report of {cells} cells: {wall_s:.1f} s, {peak_mb:,.0f} MB  (under 10 s and 500 MB); "
        f"page of {size / 1e6:.2f} MB interactive after {interactive:.2f} s  (under 2 MB and 1 s)"
    )


def _interactive_s(page: Path) -> float:
    """Median time from the start of navigation until the page's script has run."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        times = []
        for _ in range(OPENINGS):
            tab = browser.new_page()
            tab.goto(page.resolve().as_uri())
            times.append(
                tab.evaluate(
                    "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
                )
            )
            tab.close()
        browser.close()
    return float(statistics.median(times)) / 1000
