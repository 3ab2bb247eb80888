"""What is asked has one name for ever: published studies hold ids that are hashes of it."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from harness.analysis.evidence import unpacked_runs
from harness.spec import Cell, RunSpec, Scenario, short_hash, to_json
from tests.conftest import ROOT

PUBLISHED = sorted((ROOT / "results" / "published").glob("*/manifest.json"))
RUNS = 100  # of each study


@pytest.mark.parametrize("manifest", PUBLISHED, ids=lambda path: path.parent.name)
def test_published_cells_and_runs_keep_their_ids(manifest: Path) -> None:
    for one in json.loads(manifest.read_text())["cells"]:
        assert Cell.from_json(one["cell"]).id == one["id"]
    with unpacked_runs(manifest.parent) as runs:
        for path in islice(sorted(runs.glob("*.t*.*.json")), RUNS):
            record = json.loads(path.read_text())
            assert RunSpec.from_json(record["spec"]).run_id == record["run_id"] == path.stem


def test_only_another_framework_than_torch_is_written() -> None:
    plain, keras = (Scenario("a", "a", {}, framework=name) for name in ("torch", "keras"))
    assert "framework" not in to_json(plain)
    assert to_json(keras)["framework"] == "keras"
    assert short_hash(plain) != short_hash(keras)
    for one in (plain, keras):
        assert Scenario.from_json(to_json(one)) == one
