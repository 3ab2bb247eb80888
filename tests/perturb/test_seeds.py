"""Other seeds are given to each source alone, and leave types and states as they were."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from harness.core.spec import Cell
from harness.factors.catalog import FACTORS, inside

MakeCell = Callable[..., Cell]


def draws() -> dict[str, float]:
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)
    own = torch.Generator().manual_seed(3)
    return {
        "python": random.random(),
        "numpy": float(np.random.rand()),
        "torch": float(torch.rand(1)),
        "generators": float(torch.rand(1, generator=own)),
    }


@pytest.fixture(params=["python", "numpy", "torch", "generators"])
def source(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_only_this_source_draws_other_numbers(source: str, make_cell: MakeCell) -> None:
    """The same ones each time, and the usual ones again at the end."""
    usual = draws()
    with inside(make_cell(perturbed=(f"seed_{source}:other",))):
        changed = draws()
        assert draws() == changed
        assert FACTORS[f"seed_{source}"].read() != "no such seed is set"
    assert {name for name in usual if changed[name] != usual[name]} == {source}
    assert draws() == usual


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.random.default_rng(3),
        lambda: np.random.default_rng([3, 1]),
        lambda: np.random.Generator(np.random.PCG64(3)),
        lambda: np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy=3))),
        lambda: np.random.RandomState(3),
        lambda: np.random.RandomState(np.array([3, 1])),
        lambda: random.Random(3),
        lambda: random.Random("three"),
    ],
)
def test_every_kind_of_generator_gets_another_seed(
    make: Callable[[], Any], make_cell: MakeCell
) -> None:
    """And is pickled with its state, to be read outside."""
    usual = make().random()
    with inside(make_cell(perturbed=("seed_generators:other",))):
        changed = make().random()
        assert make().random() == changed != usual
        stored, expected = pickle.dumps(generator := make()), generator.random()
    assert pickle.loads(stored).random() == expected  # noqa: S301 - our own
    assert make().random() == usual


@pytest.mark.parametrize("seed", ["text", b"bytes", bytearray(b"more"), 1.5, -3])
def test_any_seed_of_python_is_changed(seed: Any, make_cell: MakeCell) -> None:
    """The version of the algorithm that is given with it stays."""
    random.seed(seed, version=2)
    usual = random.random()
    with inside(make_cell(perturbed=("seed_python:other",))):
        random.seed(seed, version=2)
        assert random.random() != usual


@pytest.mark.parametrize("seed", [[3, 1], np.array([3, 1], dtype=np.uint8)])
def test_the_first_of_several_numbers_is_changed(seed: Any, make_cell: MakeCell) -> None:
    """In a copy: the program's own array stays."""
    np.random.seed(seed)
    usual = np.random.rand()
    with inside(make_cell(perturbed=("seed_numpy:other",))):
        np.random.seed(seed)
        assert np.random.rand() != usual
    assert [*seed] == [3, 1]


def test_no_seed_stays_none(make_cell: MakeCell) -> None:
    """None asks for a random seed."""
    before = FACTORS["seed_python"].read()
    with inside(make_cell(perturbed=("seed_python:other",))):
        random.seed(None)
        assert FACTORS["seed_python"].read() == before


def test_generators_keep_their_type(make_cell: MakeCell) -> None:
    """Those of torch, and those that a program makes, may be pickled."""
    with inside(make_cell(perturbed=("seed_generators:other",))):
        generator = torch.Generator().manual_seed(np.int64(5))
        assert isinstance(torch.default_generator, torch.Generator)
        assert isinstance(generator, torch.Generator)
        assert issubclass(type(generator), torch.Generator)
        copy = pickle.loads(pickle.dumps(generator))  # noqa: S301 - our own
        assert copy.initial_seed() == generator.initial_seed() != 5
    assert isinstance(generator, torch.Generator)
