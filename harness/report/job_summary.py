"""The summary of a job in GitHub Actions."""

from __future__ import annotations

import os
import sys
from pathlib import Path

LARGEST = 1_000_000  # bytes that GitHub shows of a step, with some to spare for other commands


def append_summary(text: str) -> None:
    """Append Markdown to the summary, if there is one; a failure is only reported."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            if file.tell() < LARGEST:
                file.write(text)
    except OSError as error:
        print(
            f"harness: GITHUB_STEP_SUMMARY={path} cannot be written: {error.strerror}",
            file=sys.stderr,
        )
