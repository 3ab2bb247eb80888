"""Specs as JSON: their ids outlive fields that come later, and each run has its seed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import pytest

from harness.spec import Cell, Determinism, Kind, Noise, RunSpec, short_hash, to_json

MakeCell = Callable[..., Cell]


def test_a_spec_comes_back_from_json_equal(make_cell: MakeCell) -> None:
    cell = make_cell(noise=Noise.both, overrides=("scenario.steps=3",))
    spec = RunSpec(cell, Kind.trace, 3, environment={"A": "1"})
    assert RunSpec.from_json(json.loads(json.dumps(to_json(spec)))) == spec


def test_fields_that_came_later_change_no_id_of_before(make_cell: MakeCell) -> None:
    """The hash is the one that version 0.1.0 gave, before noise and instruction sets."""
    document = to_json(make_cell())
    assert "noise" not in document
    assert "cpu_capability" not in document["determinism"]
    assert short_hash(make_cell()) == "a68e7530"


@pytest.mark.parametrize(
    ("noise", "seeds"),
    [(Noise.none, [42, 42]), (Noise.bit_flip, [42, 42]), (Noise.algorithm, [42, 44]),
     (Noise.both, [42, 44])],
)  # fmt: skip
def test_only_noise_of_the_algorithm_gives_each_run_a_seed_of_its_own(
    noise: Noise, seeds: list[int], make_cell: MakeCell
) -> None:
    cell = make_cell(noise=noise)
    runs = [RunSpec(cell, Kind.trace, number) for number in (1, 3)]
    assert [run.determinism.seed for run in runs] == seeds
    unseeded = dataclasses.replace(cell, determinism=Determinism())
    assert RunSpec(unseeded, Kind.trace, 3).determinism.seed is None
