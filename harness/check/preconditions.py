"""A study that can be judged: every run that was planned has its record."""

from __future__ import annotations

import json
import lzma
import tarfile
from pathlib import Path

from harness.analysis.study_data import StudyData, read_study
from harness.core.errors import UnfinishedError, UsageError
from harness.core.record import Outcome

# Of a manifest of another schema, a half-copied folder, a damaged archive.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, tarfile.TarError, lzma.LZMAError)


def load_finished_study(folder: Path) -> StudyData:
    """Raises UsageError where there is no study, UnfinishedError where it lacks runs."""
    if not (folder / "manifest.json").is_file():
        raise UsageError(
            f"{folder} is no study: it has no manifest.json; `harness list` shows the studies here"
        )
    try:
        study = read_study(folder)
        planned = set(json.loads((folder / "schedule.json").read_text()))
    except UNREADABLE as error:
        raise UsageError(
            f"{folder} is no study that this program can read ({type(error).__name__}: {error})"
        ) from error
    # One that was killed from outside is run again by `resume`.
    done = {run.run_id for run in study.runs if run.outcome is not Outcome.lost}
    missing = len(planned - done)
    if missing or not done:
        lack = f"lacks {missing} of {len(planned)} runs" if done else "has no records"
        broken = "".join(f"; {text}" for text in study.unreadable)
        raise UnfinishedError(
            f"{folder} {lack}{broken}. Nothing is judged of it: "
            f"`python -m harness resume {folder}` first"
        )
    return study
