"""The summary of a job in GitHub Actions."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.report.content.document import ReportContent
from harness.report.pages.render import first_screen

LARGEST = 1_000_000  # bytes that GitHub shows of a step, with some to spare for other commands


def append_first_screen(path: Path, content: ReportContent) -> None:
    """Append the report's first screen; a failure is only reported, as the report is written."""
    try:
        with path.open("a", encoding="utf-8") as file:
            if file.tell() < LARGEST:
                file.write(f"{first_screen(content)}\n")
    except OSError as error:
        print(
            f"harness: GITHUB_STEP_SUMMARY={path} cannot be written: {error.strerror}",
            file=sys.stderr,
        )
