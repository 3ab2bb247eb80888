"""Specs as JSON: new fields keep old ids, and each run has its seed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pytest

from harness.analysis.study_data import unpacked_runs
from harness.core.spec import Cell, Determinism, Kind, Noise, RunSpec, Scenario
from harness.core.spec_json import short_hash, to_json
from tests.conftest import ROOT

MakeCell = Callable[..., Cell]
PUBLISHED = sorted((ROOT / "results" / "published").glob("*/manifest.json"))
RUNS = 100  # checked per study


def test_a_spec_survives_json(make_cell: MakeCell) -> None:
    """Reading a run's spec back from JSON gives an equal spec."""
    cell = make_cell(noise=Noise.both, overrides=("scenario.steps=3",))
    spec = RunSpec(cell, Kind.trace, 3, environment={"A": "1"})
    assert RunSpec.from_json(json.loads(json.dumps(to_json(spec)))) == spec


def test_later_fields_keep_earlier_ids(make_cell: MakeCell) -> None:
    """A cell without the fields that were added since keeps the id of version 0.1.0."""
    document = to_json(make_cell())
    assert "noise" not in document
    assert not {"cpu_capability", "vector_math_warm_up"} & document["determinism"].keys()
    assert short_hash(make_cell()) == "a68e7530"


@pytest.mark.parametrize(
    ("noise", "seeds"),
    [
        (Noise.none, [42, 42]),
        (Noise.bit_flip, [42, 42]),
        (Noise.algorithm, [42, 44]),
        (Noise.both, [42, 44]),
    ],
)
def test_only_algorithm_noise_varies_the_seed(
    noise: Noise, seeds: list[int], make_cell: MakeCell
) -> None:
    """Runs have different seeds only if the cell asks for algorithm noise."""
    cell = make_cell(noise=noise)
    runs = [RunSpec(cell, Kind.trace, number) for number in (1, 3)]
    assert [run.determinism.seed for run in runs] == seeds
    unseeded = dataclasses.replace(cell, determinism=Determinism())
    assert RunSpec(unseeded, Kind.trace, 3).determinism.seed is None


@pytest.mark.parametrize("manifest", PUBLISHED, ids=lambda path: path.parent.name)
def test_published_cells_and_runs_keep_their_ids(manifest: Path) -> None:
    """Cells and runs of published studies still have their recorded ids."""
    for entry in json.loads(manifest.read_text())["cells"]:
        assert Cell.from_json(entry["cell"]).id == entry["id"]
    with unpacked_runs(manifest.parent) as runs:
        for path in islice(sorted(runs.glob("*.t*.*.json")), RUNS):
            record = json.loads(path.read_text())
            assert RunSpec.from_json(record["spec"]).run_id == record["run_id"] == path.stem


def test_only_a_framework_other_than_torch_is_written() -> None:
    """The framework enters the JSON, and so the hash, only if it is not torch."""
    torch, keras = (Scenario("a", "a", {}, framework=name) for name in ("torch", "keras"))
    assert "framework" not in to_json(torch)
    assert to_json(keras)["framework"] == "keras"
    assert short_hash(torch) != short_hash(keras)
    for scenario in (torch, keras):
        assert Scenario.from_json(to_json(scenario)) == scenario
