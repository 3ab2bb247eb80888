"""One process that times several cells in turn."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import islice

import pytest
import torch

from harness.core.spec import Algorithms, Arm, Cell, Cudnn, Determinism, Kind, RunSpec
from harness.worker.torch_backend import memory_fill, settings, turns
from harness.worker.torch_backend.timing_block import orders, run_block

MakeCell = Callable[..., Cell]
FULL = Determinism(
    seed=42,
    cudnn=Cudnn(enabled=False, deterministic=True, benchmark=True),
    algorithms=Algorithms.require,
    fill_uninitialized_memory=False,
    tf32=True,
    matmul_precision="medium",
    fresh_memory="pattern",
)


@pytest.fixture
def cells(make_cell: MakeCell) -> list[Cell]:
    seed, full = make_cell("seed"), make_cell("full", determinism=FULL)
    return [seed, full]


def block_of(*arms: Arm, min_s: float = 0.0) -> RunSpec:
    return RunSpec(arms[0].cell, Kind.timing, 1, warmup=1, min_s=min_s, arms=arms)


def test_every_arm_trains_under_its_own_setting(cells: list[Cell]) -> None:
    """Switches of one arm do not reach the next, and afterwards all are as before."""
    before = settings.effective_settings() | {"seed": 42}
    seed, full = cells
    first, second, twin = run_block(block_of(Arm(seed), Arm(full), Arm(seed, twin=True)))
    requested = {name: value for name, value in FULL.switches().items() if name in before}
    assert {name: second.effective[name] for name in requested if requested[name] is not None} == {
        name: value for name, value in requested.items() if value is not None
    }
    assert first.effective == twin.effective == before
    assert settings.effective_settings() | {"seed": 42} == before
    assert not torch.empty(1000).eq(memory_fill.PATTERN).all()


def test_an_unseeded_arm_is_not_seeded_by_its_neighbours(make_cell: MakeCell) -> None:
    """Two arms that seed nothing differ, although a seeded arm trains before each of them."""
    none, seed = make_cell("none", determinism=Determinism()), make_cell("seed")
    arms = (Arm(seed), Arm(none), Arm(seed), Arm(none, twin=True))
    _, first, _, second = run_block(block_of(*arms))
    assert first.run
    assert second.run
    assert first.run.timed.final["params"] != second.run.timed.final["params"]


def with_steps(cell: Cell, steps: int) -> Cell:
    return dataclasses.replace(
        cell, scenario=dataclasses.replace(cell.scenario, options={"steps": steps})
    )


def test_arms_count_equally_many_steps(cells: list[Cell], monkeypatch: pytest.MonkeyPatch) -> None:
    """All arms take turns until each has counted ``min_s``, so that drift affects them alike."""
    monkeypatch.setattr(turns, "LONGEST_TIMING", 1000)  # also on a busy machine
    long = [with_steps(cell, 61) for cell in cells]
    arms = run_block(block_of(*map(Arm, long), min_s=0.02))
    counts = [arm.run.timed.counted_steps for arm in arms if arm.run]
    assert len(counts) == 2
    assert counts[0] == counts[1]
    assert all(arm.run.timed.counted_s >= 0.02 for arm in arms if arm.run)


def test_equal_arms_end_with_equal_bits(cells: list[Cell]) -> None:
    """A baseline and its twin end alike, whatever was trained between them."""
    first, _, twin = run_block(block_of(Arm(cells[0]), Arm(cells[1]), Arm(cells[0], twin=True)))
    assert first.run
    assert twin.run
    assert first.run.timed.final == twin.run.timed.final


def test_an_arm_that_fails_keeps_its_error_and_spares_the_others(cells: list[Cell]) -> None:
    """An exception ends one arm; the others are timed to the end, with the switches restored."""
    broken = dataclasses.replace(cells[0].scenario, options={"steps": 0})
    failing = dataclasses.replace(cells[1], scenario=broken)
    failed, timed = run_block(block_of(Arm(failing), Arm(cells[0])))
    assert failed.error is not None
    assert failed.run is None
    assert timed.run is not None
    assert not torch.are_deterministic_algorithms_enabled()


def test_every_second_round_mirrors_the_one_before() -> None:
    """Rounds go forth and back (ABBA), in changing orders that the seed fixes."""
    rounds = list(islice(orders(5, "seed"), 20))
    assert all(sorted(order) == list(range(5)) for order in rounds)
    assert [order[::-1] for order in rounds[::2]] == rounds[1::2]
    assert len(set(map(tuple, rounds))) > 10
    assert list(islice(orders(5, "seed"), 20)) == rounds
