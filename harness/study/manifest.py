"""The manifest of a study: what was requested, on which machine, with which versions."""

from __future__ import annotations

import dataclasses
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import harness
from harness.core.errors import UsageError
from harness.core.record import DIGESTS, MANIFEST_SCHEMA
from harness.core.spec import Cell
from harness.core.spec_json import to_json
from harness.host import container_image
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

EQUAL_PROGRAMS = Path(__file__).parent / "equal_programs.toml"
# A study is resumed only if all of these agree with its manifest.
MUST_AGREE = ("python", "torch", "torch_cuda", "cudnn", "numpy", "threads", "keras", "tensorflow")


def build_manifest(
    request: Request, plan: Plan, probe: Probe, repeat_of: str | None
) -> dict[str, Any]:
    return {
        "schema": MANIFEST_SCHEMA,
        "created": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "harness": harness.__version__,
        "digests": DIGESTS,
        "words": request.words,
        **plan_to_json(request, plan),
        "device": probe.device,
        "machine": probe.machine,
        "image": container_image.identity(),
        "software": probe.software,
        "cuda": probe.cuda,
        "sources": probe.sources,
        "claims": [claim_to_json(claim, probe.device) for claim in request.claims],
        "missing": _missing_cells(request, probe),
        "repeat_of": repeat_of,
    }


def plan_to_json(request: Request, plan: Plan) -> dict[str, Any]:
    """The entries of a manifest that say what is run."""
    study = dataclasses.replace(request.study, dir=None)
    return {
        "request": to_json(dataclasses.replace(request, study=study, claims=())),
        "cells": [{"id": planned.cell.id, **to_json(planned)} for planned in plan.cells],
    }


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
    if document.get("digests") != DIGESTS:
        raise UsageError(
            "cannot resume: this harness digests the same bits otherwise; use the original "
            "version, or start a new study"
        )


def _is_same_training(name: str, then: str, now: str | None) -> bool:
    """Whether two digests of a program are equal, or are listed as the same training."""
    equal = tomllib.loads(EQUAL_PROGRAMS.read_text(encoding="utf-8")).get(name)
    return then == now or (equal is not None and equal["now"] == now and then in equal["before"])


def check_same_machine(
    document: dict[str, Any], probe: Probe, refusal: str = "cannot resume"
) -> None:
    """Raises UsageError, naming the field, if a study would mix two machines."""
    pairs: list[tuple[str, object, object]] = [
        (key, document["software"].get(key), probe.software.get(key)) for key in MUST_AGREE
    ]
    pairs.append(("CUDA devices", document["cuda"], probe.cuda))
    here = probe.machine
    pairs += [(key, document["machine"][key], here[key]) for key in ("cpu", "driver", "container")]
    for name, digest in document["sources"].items():
        current = probe.sources.get(name)
        if not _is_same_training(name, digest, current):
            pairs.append((f"program of scenario {name}", digest, current))
    for field, then, now in pairs:
        if then != now:
            raise UsageError(
                f"{refusal}: {field} was {then} and is now {now}; "
                "one study cannot mix both. Start a new study."
            )
