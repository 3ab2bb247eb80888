"""The copy of the working directory that all runs of scripts in a study start from.

An edit of the folder during a study would otherwise make a training vary. The copy's digest is in
the manifest; the copy is deleted when the study is done.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.core.folder_copy import copy_folder, describe_folder
from harness.core.paths import source_of
from harness.study.plan import Plan


def copy_source(study: Path, plan: Plan) -> dict[str, Any] | None:
    """Copy the working directory into the study's folder and describe the copy for the manifest.

    Returns None if the study runs no script. Raises OSError.
    """
    linked = _linked_data(plan)
    if linked is None:
        return None
    copy = source_of(study.resolve())
    shutil.rmtree(copy, ignore_errors=True)  # left incomplete by a study that was killed
    copy.mkdir()
    copy_folder(Path.cwd(), copy, [*linked, study.resolve()])
    return dataclasses.asdict(describe_folder(copy))


def restore_source(study: Path, plan: Plan, described: dict[str, Any] | None) -> None:
    """Copy the working directory again if the copy was deleted.

    Raises UsageError if its files are no longer those that the manifest describes.
    """
    if described is None or source_of(study).is_dir():
        return
    now = copy_source(study, plan)
    if now != described:
        remove_source(study)
        raise UsageError(
            f"cannot resume {study}: the files in this folder have changed since the study began; "
            "one study cannot mix both. Start a new study"
        )


def remove_source(study: Path) -> None:
    shutil.rmtree(source_of(study), ignore_errors=True)


def _linked_data(plan: Plan) -> list[Path] | None:
    """The data that every script links instead of copying; None if there is no script."""
    scripts = [
        planned.cell.scenario.options["data"]
        for planned in plan.cells
        if planned.cell.scenario.framework == "script"
    ]
    if not scripts:
        return None
    common = set(scripts[0]).intersection(*scripts[1:])
    return [Path(str(path)).expanduser().resolve() for path in common]
