"""A study's folder: manifest, schedule, lock, and which runs are already done.

::

    results/<id>/manifest.json   the request, the machine and the software versions
                 schedule.json   the ids of all runs in order
                 runs/           one record per run, and the distances between runs that diverge
                 blocks.json     how many timing blocks each cell needs, if that was decided
                 budget.json     that the time budget ended before all planned runs, if it did
                 logs/           the output of runs that print anything
                 source/         the working directory's files, until the runs of scripts are done
                 tables/ figures/ report.md report.html
"""

from __future__ import annotations

import fcntl
import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.core.command_line import command, program
from harness.core.completion import read_blocks, unfinished_runs
from harness.core.errors import UsageError
from harness.core.files import write_json
from harness.core.paths import BUDGET, RESULTS
from harness.core.record import BadRecordError, RunRecord, load_record
from harness.core.spec import RunSpec
from harness.study.manifest import build_manifest, check_same_machine, check_version, plan_to_json
from harness.study.plan import Plan
from harness.study.probe import Probe
from harness.study.request import Request
from harness.study.source_copy import copy_source

# Keys that every manifest has.
MANIFEST_KEYS = ("harness", "words", "request", "cells", "machine", "software", "cuda", "sources")


@dataclass(frozen=True)
class StudyFolder:
    path: Path

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    @property
    def manifest(self) -> dict[str, Any]:
        """Raises UsageError if manifest.json is missing, not valid JSON, or incomplete."""
        document = self._read("manifest.json")
        manifest: dict[str, Any] = document if isinstance(document, dict) else {}
        lacking = [key for key in MANIFEST_KEYS if key not in manifest]
        if lacking:
            raise UsageError(f"{self.path}/manifest.json is damaged: it lacks {', '.join(lacking)}")
        return manifest

    @property
    def schedule(self) -> list[str]:
        """The ids of all planned runs. Raises UsageError like ``manifest``."""
        schedule: list[str] = self._read("schedule.json")
        return schedule

    def _read(self, name: str) -> Any:
        try:
            return json.loads((self.path / name).read_text())
        except OSError as error:
            raise UsageError(
                f"{self.path} is not a study: it has no {name}; "
                f"`{program()} list` shows the studies here"
            ) from error
        except ValueError as error:
            raise UsageError(f"{self.path}/{name} is not valid JSON: {error}") from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Locks the folder for this process. Raises UsageError if another process holds it."""
        try:
            file = (self.path / "study.lock").open("a+")
        except OSError as error:
            raise UsageError(f"{self.path} cannot be written: {error.strerror}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UsageError(
                    f"{self.path} is locked by another process; "
                    "wait until it finishes, or stop it and resume the study"
                ) from error
            yield

    def records(self) -> list[RunRecord]:
        """All readable records of trace and timing runs; a run with a damaged one is repeated."""
        records = []
        for path in sorted(self.runs.glob("*.t*.*.json")):
            with suppress(BadRecordError):
                records.append(load_record(path))
        return records

    def remaining(self, plan: Plan) -> list[RunSpec]:
        """The runs that `resume` would run, in the plan's order."""
        unfinished = self.unfinished()
        return [spec for spec in plan.runs if spec.run_id in unfinished]

    def extend(self, request: Request, plan: Plan) -> None:
        """Make the study one of this plan, which `resume` completes; records stay as they are."""
        write_json(self.path / "schedule.json", [spec.run_id for spec in plan.runs])
        manifest = {**self.manifest, **plan_to_json(request, plan)}
        write_json(self.path / "manifest.json", manifest)

    def note_budget(self, budget_s: float | None) -> None:
        """Note that the budget has ended the study before all planned runs; None: it has not."""
        path = self.path / BUDGET
        if budget_s is None:
            path.unlink(missing_ok=True)
        else:
            write_json(path, {"budget_s": budget_s})

    def unfinished(self) -> set[str]:
        """Ids of the runs that `resume` would run."""
        request = self.manifest["request"]
        stage = request["runs"].get("first")
        on_cluster = request["launch"].get("engine", "local") != "local"
        # On a cluster, what its node has not completed may still change.
        records = [run for run in self.records() if run.node or not on_cluster]
        return unfinished_runs(self.schedule, records, stage, read_blocks(self.path))


def create_folder(
    request: Request, plan: Plan, probe: Probe, repeat_of: str | None = None
) -> StudyFolder:
    """Creates the study's folder with its manifest, or reuses ``study.dir`` if it holds this study.

    Raises UsageError if the folder cannot be written, holds anything else, or comes from another
    machine or version.
    """
    folder = StudyFolder(Path(request.study.dir or RESULTS / _new_study_name(plan)))
    schedule = [spec.run_id for spec in plan.runs]
    if folder.path.is_file():
        raise UsageError(f"study.dir={folder.path} is a file; choose a new folder")
    if folder.path.exists() and any(folder.path.iterdir()):
        _check_same_study(folder, schedule)
        check_version(folder.manifest)
        check_same_machine(folder.manifest, probe)
        return folder
    try:
        for subfolder in ("runs", "logs"):
            (folder.path / subfolder).mkdir(parents=True, exist_ok=True)
        write_json(folder.path / "schedule.json", schedule)
        manifest = build_manifest(request, plan, probe, repeat_of)
        manifest["source"] = copy_source(folder.path, plan)
        write_json(folder.path / "manifest.json", manifest)
    except OSError as error:
        raise UsageError(f"study.dir={folder.path} cannot be written: {error.strerror}") from error
    return folder


def _new_study_name(plan: Plan) -> str:
    labels = list({planned.cell.scenario.label for planned in plan.cells})
    subject = labels[0] if len(labels) == 1 else f"{len(labels)}-scenarios"
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{subject}-{secrets.token_hex(2)}"


def _check_same_study(folder: StudyFolder, schedule: Sequence[str]) -> None:
    """Raises UsageError if a folder that is not empty holds anything but this study."""
    if not (folder.path / "manifest.json").exists():
        raise UsageError(
            f"study.dir={folder.path} is not empty and has no manifest.json; choose a new folder"
        )
    if folder.schedule != list(schedule):
        raise UsageError(
            f"study.dir={folder.path} belongs to another command: "
            f"`{command(folder.manifest['words'])}`; choose a new folder, "
            f"or run `{command(['resume', str(folder.path)])}`"
        )
