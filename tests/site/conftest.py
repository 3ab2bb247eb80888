"""Published studies with small made-up tables, and the site that is made of them."""

from __future__ import annotations

import csv
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.core.run_archive import ARCHIVE
from harness.core.sums import write_sums
from harness.site.__main__ import main
from tests.conftest import Done, command

MACHINE = {"cpu": "Some CPU", "usable_cores": 2, "git": "abc"}
COLUMNS = (
    *("cell", "overrides", "scenario", "determinism", "noise", "device", "twin", "same_as"),
    *("differ", "differ_of", "verdict", "verdict_wording", "independent_runs"),
    *("divergence_rate_upper", "cost_ratio", "cost_low", "cost_high", "cost"),
)
EQUAL = {
    "differ": 0,
    "differ_of": 30,
    "verdict": "identical",
    "verdict_wording": "identical",
    "independent_runs": 30,
    "divergence_rate_upper": 0.098,
}
VARIES = {
    "differ": 4,
    "differ_of": 5,
    "verdict": "varies per call",
    "verdict_wording": "varies per call",
    "independent_runs": 5,
}

Publish = Callable[..., Path]


def write_csv(path: Path, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    (tmp_path / "results" / "published").mkdir(parents=True)
    return tmp_path / "results" / "published"


@pytest.fixture
def publish(published: Path) -> Publish:
    """Publishes a study: `mlp` under `seed`, and an audit of `put`, with these verdicts."""

    def make(
        name: str,
        *,
        mlp: dict[str, Any] = EQUAL,
        bits: str = "d1",
        put: dict[str, Any] = VARIES,
        full: dict[str, Any] = EQUAL,
        created: str = "2026-01-02T03:04:05Z",
        headline: str = "Seeds are enough.",
        **manifest: Any,
    ) -> Path:
        folder = published / name
        folder.mkdir()
        document = {
            "created": created,
            "harness": "0.1.0",
            "words": ["scenario=mlp"],
            "request": {"runs": {}, "timing": {}},
            "machine": MACHINE,
            "software": {"torch": "2.13.0+cpu"},
            "cuda": [],
            "cells": [{"cell": {"device": "cpu"}}],
            **manifest,
        }
        (folder / "manifest.json").write_text(json.dumps(document))
        (folder / "schedule.json").write_text("[]")
        (folder / "report.md").write_text(f"# {headline}\n")
        (folder / "report.html").write_text("<h1>The report</h1>")
        tarfile.open(folder / ARCHIVE, "w:xz").close()
        shared = {"device": "cpu", "twin": False}
        cells = [
            {"cell": "mlp-seed", "scenario": "mlp", "determinism": "seed", **shared, **mlp},
            {"cell": "put-seed", "scenario": "atomics", "determinism": "seed", **shared, **put},
            {"cell": "put-full", "scenario": "atomics", "determinism": "full", **shared, **full},
        ]
        write_csv(folder / "tables" / "cells.csv", COLUMNS, cells)
        runs = [{"kind": "trace", "cell": "mlp-seed", "params": bits}]
        write_csv(folder / "tables" / "runs.csv", ("kind", "cell", "params"), runs)
        row = {"cell": "put-seed", "cell_full": "put-full", "operation": "put", "device": "cpu"}
        row |= {"dtype": "float32", "documented": "not listed", "alert": "none"}
        row |= {
            "bits": "varies per call (all 5)",
            "bits_full": "identical (n = 30)",
            "threads": "same bits",
        }
        write_csv(folder / "tables" / "audit.csv", tuple(row), [row])
        write_sums(folder)
        return folder

    return make


def make(published: Path, target: str = "site") -> Done:
    return command("results/published", target, cwd=published.parents[1], program=main)


def read(published: Path, page: str) -> dict[str, object]:
    document: dict[str, object] = json.loads((published.parents[1] / "site" / page).read_text())
    return document
