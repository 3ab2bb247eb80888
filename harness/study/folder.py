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

import dataclasses
import fcntl
import json
import secrets
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import harness
from harness.core.command_line import command, program
from harness.core.completion import read_blocks, unfinished_runs
from harness.core.errors import UsageError
from harness.core.files import write_json
from harness.core.paths import BUDGET, RESULTS
from harness.core.record import MANIFEST_SCHEMA, BadRecordError, RunRecord, load_record
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
from harness.study.source_copy import copy_source

EQUAL_PROGRAMS = Path(__file__).parent / "equal_programs.toml"
# Keys that every manifest has.
MANIFEST_KEYS = ("harness", "words", "request", "cells", "machine", "software", "cuda", "sources")
# A study is resumed only if all of these agree with its manifest.
MUST_AGREE = ("python", "torch", "torch_cuda", "cudnn", "numpy", "threads", "keras", "tensorflow")


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
        manifest = {**self.manifest, "request": _request_to_json(request), "cells": _cells(plan)}
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
        stage = self.manifest["request"]["runs"].get("first")
        return unfinished_runs(self.schedule, self.records(), stage, read_blocks(self.path))


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
        manifest = _build_manifest(request, plan, probe, repeat_of)
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


def _build_manifest(
    request: Request, plan: Plan, probe: Probe, repeat_of: str | None
) -> dict[str, Any]:
    return {
        "schema": MANIFEST_SCHEMA,
        "created": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "harness": harness.__version__,
        "words": request.words,
        "request": _request_to_json(request),
        "device": probe.device,
        "cells": _cells(plan),
        "machine": describe_machine(),
        "image": container_image.identity(),
        "software": probe.software,
        "cuda": probe.cuda,
        "sources": probe.sources,
        "claims": [claim_to_json(claim, probe.device) for claim in request.claims],
        "missing": _missing_cells(request, probe),
        "repeat_of": repeat_of,
    }


def _request_to_json(request: Request) -> dict[str, Any]:
    study = dataclasses.replace(request.study, dir=None)
    return to_json(dataclasses.replace(request, study=study, claims=()))


def _cells(plan: Plan) -> list[dict[str, Any]]:
    return [{"id": planned.cell.id, **to_json(planned)} for planned in plan.cells]


def claim_to_json(requested: RequestedClaim, device: str) -> dict[str, Any]:
    """A claim with the ids of its cells, as the report reads it."""
    cells = {role: on_device(cell, device).id for role, cell in requested.cells.items()}
    return dataclasses.asdict(dataclasses.replace(requested.claim, cells=cells))


def _missing_cells(request: Request, probe: Probe) -> dict[str, str]:
    """Why each of the claims' cells that cannot run here is missing, by cell id."""
    cells = [
        on_device(cell, probe.device) for claim in request.claims for cell in claim.cells.values()
    ]
    return {
        cell.id: probe.missing[cell.scenario.framework]
        for cell in cells
        if cell.scenario.framework in probe.missing
    }


def request_from_manifest(document: dict[str, Any]) -> Request:
    """The request in a manifest, for `resume`."""
    request = document["request"]
    return Request(
        asked=tuple(_requested_cell_from_json(entry) for entry in request["asked"]),
        controls=tuple(Cell.from_json(entry) for entry in request["controls"]),
        runs=Runs(**request["runs"]),
        timing=Timing.from_json(request["timing"]),
        trace=Trace(**request["trace"]),
        study=Study(**request["study"]),
        launch=Launch.from_json(request["launch"]),
        matrix=request["matrix"],
        not_for_conclusions=request["not_for_conclusions"],
        settings_for_cuda=tuple(request["settings_for_cuda"]),
        words=tuple(request["words"]),
    )


def _requested_cell_from_json(entry: dict[str, Any]) -> RequestedCell:
    return RequestedCell(
        cell=Cell.from_json(entry["cell"]),
        baseline=Cell.from_json(entry["baseline"]) if entry["baseline"] else None,
        needs=entry["needs"],
        timed=entry["timed"],
        for_claim=entry["for_claim"],
    )


def check_version(document: dict[str, Any]) -> None:
    """Raises UsageError if another version wrote the manifest, since its fields may differ."""
    if document.get("harness") != harness.__version__:
        raise UsageError(
            f"cannot resume: harness was {document.get('harness')} and is now "
            f"{harness.__version__}; use the original version, or start a new study"
        )


def _is_same_training(name: str, then: str, now: str | None) -> bool:
    """Whether two digests of a program are equal, or are listed as the same training."""
    equal = tomllib.loads(EQUAL_PROGRAMS.read_text(encoding="utf-8")).get(name)
    return then == now or (equal is not None and equal["now"] == now and then in equal["before"])


def check_same_machine(document: dict[str, Any], probe: Probe) -> None:
    """Raises UsageError, naming the field, if a resumed study would mix two machines."""
    pairs: list[tuple[str, object, object]] = [
        (key, document["software"].get(key), probe.software.get(key)) for key in MUST_AGREE
    ]
    pairs.append(("CUDA devices", document["cuda"], probe.cuda))
    here = describe_machine()
    pairs += [(key, document["machine"][key], here[key]) for key in ("cpu", "driver", "container")]
    for name, digest in document["sources"].items():
        current = probe.sources.get(name)
        if not _is_same_training(name, digest, current):
            pairs.append((f"program of scenario {name}", digest, current))
    for field, then, now in pairs:
        if then != now:
            raise UsageError(
                f"cannot resume: {field} was {then} and is now {now}; "
                "one study cannot mix both. Start a new study."
            )
