"""Loading a study that can be checked: every planned run has its record."""

from __future__ import annotations

import lzma
import tarfile
from pathlib import Path

from harness.analysis.study_data import StudyData, read_study
from harness.core.errors import UnfinishedError, UsageError

# Raised by a manifest of another schema, a half-copied folder, or a damaged archive.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, tarfile.TarError, lzma.LZMAError)


def load_finished_study(folder: Path) -> StudyData:
    """Raises UsageError if the folder holds no study, UnfinishedError if the study lacks runs."""
    if not (folder / "manifest.json").is_file():
        raise UsageError(
            f"{folder} is not a study: it has no manifest.json; "
            "`python -m harness list` shows the studies here"
        )
    try:
        study = read_study(folder)
    except UNREADABLE as error:
        raise UsageError(
            f"{folder} is not a study that this version can read ({type(error).__name__}: {error})"
        ) from error
    is_planned = study.planned or study.dependence is not None  # whose search plans as it runs
    if study.lacks_runs or not is_planned:
        some = f"lacks {study.unfinished} of {study.planned} runs"
        problem = some if study.unfinished < study.planned else "has no records"
        unreadable = "".join(f"; {text}" for text in study.unreadable)
        raise UnfinishedError(
            f"{folder} {problem}{unreadable}, so it cannot be checked. Complete it with "
            f"`python -m harness resume {folder}`"
        )
    return study
