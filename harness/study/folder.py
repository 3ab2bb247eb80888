"""The study's folder: manifest, schedule, lock, and which runs are already done.

::

    results/<id>/manifest.json   what was asked, of which machine, by which version
                 schedule.json   the ids of all runs in order
                 runs/           one record per run, and the distances of runs that parted
                 logs/           what runs printed, where they printed anything
                 tables/ figures/ report.md report.html
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import harness
from harness.core.command_line import command
from harness.core.errors import UsageError
from harness.core.paths import RESULTS
from harness.core.record import BadRecordError, Outcome, RunRecord, load_record, write_json
from harness.core.spec import Cell, RunSpec, to_json
from harness.host import container_image
from harness.host.machine import describe_machine
from harness.study.plan import Plan, on_device
from harness.study.probe import Probe
from harness.study.request import (
    Launch,
    Request,
    RequestedCell,
    RequestedClaim,
    Runs,
    Study,
    Timing,
    Trace,
)

# Where one of these differs from the manifest's, further runs would not belong to the same study.
MUST_AGREE = ("python", "torch", "torch_cuda", "cudnn", "numpy", "threads", "keras", "tensorflow")


@dataclass(frozen=True)
class StudyFolder:
    path: Path

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    @property
    def manifest(self) -> dict[str, Any]:
        """Raises UsageError where the folder holds no study that this program can read."""
        try:
            document: dict[str, Any] = json.loads((self.path / "manifest.json").read_text())
        except OSError as error:
            raise UsageError(
                f"{self.path} is no study: it has no manifest.json; "
                "`harness list` shows the studies here"
            ) from error
        except ValueError as error:
            raise UsageError(f"{self.path}/manifest.json is no JSON: {error}") from error
        return document

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the folder for this process; raises UsageError where another one holds it."""
        try:
            file = (self.path / "study.lock").open("a+")
        except OSError as error:
            raise UsageError(f"{self.path} cannot be written: {error.strerror}") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UsageError(
                    f"{self.path} is being run by another process; "
                    "wait for it, or end it and resume"
                ) from error
            yield

    def records(self) -> list[RunRecord]:
        """All whole records; what cannot be read is run again."""
        return [record for _, record in self._iter_records() if record is not None]

    def _iter_records(self) -> Iterator[tuple[Path, RunRecord | None]]:
        for path in sorted(self.runs.glob("*.t*.*.json")):
            try:
                yield path, load_record(path)
            except BadRecordError:
                yield path, None

    def remaining(self, plan: Plan) -> list[RunSpec]:
        """The runs without a record that counts, in the plan's order."""
        done = self.done()
        return [spec for spec in plan.runs if spec.run_id not in done]

    def done(self) -> set[str]:
        """Ids of the runs whose record counts; one killed from outside is run again."""
        return {one.run_id for one in self.records() if one.outcome is not Outcome.lost}


def create_folder(
    request: Request, plan: Plan, probe: Probe, repeat_of: str | None = None
) -> StudyFolder:
    """A new folder with its manifest, or the given one where it already holds this same study."""
    name = _new_study_name(plan)
    folder = StudyFolder(Path(request.study.dir) if request.study.dir else RESULTS / name)
    schedule = [spec.run_id for spec in plan.runs]
    if folder.path.exists() and any(folder.path.iterdir()):
        _check_same_study(folder, schedule)
        check_version(folder.manifest)
        check_same_machine(folder.manifest, probe)
        return folder
    try:
        for part in ("runs", "logs"):
            (folder.path / part).mkdir(parents=True, exist_ok=True)
        write_json(folder.path / "schedule.json", schedule)
        write_json(folder.path / "manifest.json", _build_manifest(request, plan, probe, repeat_of))
    except OSError as error:
        raise UsageError(f"study.dir={folder.path} cannot be written: {error.strerror}") from error
    return folder


def _new_study_name(plan: Plan) -> str:
    scenarios = list(dict.fromkeys(one.cell.scenario.label for one in plan.cells))
    what = scenarios[0] if len(scenarios) == 1 else f"{len(scenarios)}-scenarios"
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{what}-{secrets.token_hex(2)}"


def _check_same_study(folder: StudyFolder, schedule: Sequence[str]) -> None:
    """A folder that holds something is only taken where it is this very study."""
    if not (folder.path / "manifest.json").exists():
        raise UsageError(f"study.dir={folder.path} is not empty and no study; name a new folder")
    if json.loads((folder.path / "schedule.json").read_text()) != list(schedule):
        raise UsageError(
            f"study.dir={folder.path} belongs to another command: "
            f"`{command(folder.manifest['words'])}`; name a new folder, "
            f"or `python -m harness resume {folder.path}`"
        )


def _build_manifest(
    request: Request, plan: Plan, probe: Probe, repeat_of: str | None
) -> dict[str, Any]:
    return {
        "schema": 1,
        "created": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "harness": harness.__version__,
        "words": request.words,
        "request": to_json(
            dataclasses.replace(
                request, study=dataclasses.replace(request.study, dir=None), claims=()
            )
        ),
        "device": probe.device,
        "cells": [{"id": one.cell.id, **to_json(one)} for one in plan.cells],
        "machine": describe_machine(),
        "image": container_image.identity(),
        "software": probe.software,
        "cuda": probe.cuda,
        "sources": probe.sources,
        "claims": [claim_to_json(one, probe.device) for one in request.claims],
        "missing": _missing_cells(request, probe),
        "repeat_of": repeat_of,
    }


def claim_to_json(asked: RequestedClaim, device: str) -> dict[str, Any]:
    """A claim with the ids of its cells, as the report reads it."""
    cells = {role: on_device(cell, device).id for role, cell in asked.cells.items()}
    return dataclasses.asdict(dataclasses.replace(asked.claim, cells=cells))


def _missing_cells(request: Request, probe: Probe) -> dict[str, str]:
    """The claims' cells that cannot run here, by id, each with why."""
    cells = [on_device(cell, probe.device) for one in request.claims for cell in one.cells.values()]
    return {
        cell.id: probe.missing[cell.scenario.framework]
        for cell in cells
        if cell.scenario.framework in probe.missing
    }


def request_from_manifest(document: dict[str, Any]) -> Request:
    """The request of a manifest, for `resume`."""
    asked = document["request"]

    def cell(part: dict[str, Any] | None) -> Cell | None:
        return Cell.from_json(part) if part else None

    def extra(one: dict[str, Any]) -> tuple[str, bool, bool]:
        return one["needs"], one["timed"], one["for_claim"]

    return Request(
        asked=tuple(
            RequestedCell(Cell.from_json(one["cell"]), cell(one["baseline"]), *extra(one))
            for one in asked["asked"]
        ),
        controls=tuple(Cell.from_json(one) for one in asked["controls"]),
        runs=Runs(**asked["runs"]),
        timing=Timing(**asked["timing"]),
        trace=Trace(**asked["trace"]),
        study=Study(**asked["study"]),
        launch=Launch(**asked["launch"]),
        matrix=asked["matrix"],
        not_for_conclusions=asked["not_for_conclusions"],
        settings_for_cuda=tuple(asked["settings_for_cuda"]),
        words=tuple(asked["words"]),
    )


def check_version(document: dict[str, Any]) -> None:
    """Raises UsageError where another version wrote the manifest: its fields may be others too."""
    if document.get("harness") != harness.__version__:
        raise UsageError(
            f"cannot resume: harness was {document.get('harness')} and is {harness.__version__} "
            "now; use that version, or begin a new study"
        )


def check_same_machine(document: dict[str, Any], probe: Probe) -> None:
    """Raises UsageError, naming the field, where a resumed study would mix two machines."""
    pairs: list[tuple[str, object, object]] = [
        (key, document["software"].get(key), probe.software.get(key)) for key in MUST_AGREE
    ]
    pairs.append(("CUDA devices", document["cuda"], probe.cuda))
    here = describe_machine()
    pairs += [(key, document["machine"][key], here[key]) for key in ("cpu", "driver", "container")]
    for name, digest in document["sources"].items():
        pairs.append((f"program of scenario {name}", digest, probe.sources.get(name)))
    for field, then, now in pairs:
        if then != now:
            raise UsageError(
                f"cannot resume: {field} was {then} and is {now} now; "
                "runs of both are not one study. Begin a new one."
            )
