"""Trainings that take turns of a few steps."""

from __future__ import annotations

import multiprocessing
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import cycle
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from harness.core.spec import Algorithms, Arm, Cell, Determinism, Kind, RunSpec, Scenario
from harness.worker.timing import StepTimes
from harness.worker.torch_backend import settings, timing_block, turns
from harness.worker.torch_backend.timing_block import run_block
from harness.worker.torch_backend.turns import TurnTaker, take_turns, turn_lengths

MakeCell = Callable[..., Cell]
FORTH_AND_BACK = cycle([[0, 1], [1, 0]])


def timing_of(cell: Cell, min_s: float = 0.01) -> RunSpec:
    return RunSpec(cell, Kind.timing, 1, warmup=1, min_s=min_s)


class Drawing:
    """Draws a number from every global generator, and reads a switch, in each step."""

    def __init__(self, steps: int = 40, step_s: float = 0.0, slow_s: float = 0.0) -> None:
        self.steps, self.step_s, self.slow_s = steps, step_s, slow_s
        self.seen: list[tuple[float, float, float, bool]] = []

    def batches(self) -> Iterator[None]:
        for _ in range(self.steps):
            yield

    def step(self, _: None) -> None:
        time.sleep(self.slow_s if self.slow_s and len(self.seen) % 2 else self.step_s)
        switch = torch.are_deterministic_algorithms_enabled()
        self.seen.append((random.random(), np.random.random(), torch.rand(1).item(), switch))


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Drawing]:
    """The trainings that the takers build, in the order of building."""
    trainings: list[Drawing] = []

    def build(spec: RunSpec, device: torch.device) -> Drawing:
        settings.apply(spec.determinism)
        options = spec.cell.scenario.options
        trainings.append(Drawing(**options))
        return trainings[-1]

    monkeypatch.setattr(turns, "build_training", build)
    return trainings


def with_options(cell: Cell, **options: float) -> Cell:
    return replace(cell, scenario=replace(cell.scenario, options=options))


def alone(setting: Determinism, steps: int) -> list[tuple[float, float, float, bool]]:
    """What a training sees that nothing interrupts."""
    restore = settings.remember()
    settings.apply(setting)
    training = Drawing(steps)
    for batch in training.batches():
        training.step(batch)
    restore()
    return training.seen


def test_each_training_keeps_its_own_generators_and_switches(
    make_cell: MakeCell, built: list[Drawing]
) -> None:
    """Two trainings in turns see what each sees alone."""
    require = Determinism(seed=2, algorithms=Algorithms.require)
    one = with_options(make_cell("one", determinism=Determinism(seed=1)))
    two = with_options(make_cell("two", determinism=require))
    restore = settings.remember()
    takers = [TurnTaker(timing_of(cell)) for cell in (one, two)]
    for taker in takers:
        restore()
        taker.begin()
    for order in ([0, 1], [1, 0], [0, 1]):
        for index in order:
            assert takers[index].take(5)
    restore()
    for cell, training in zip((one, two), built, strict=True):
        assert len(training.seen) == 19  # one of warm-up, and three turns of one and five
        assert training.seen == alone(cell.determinism, 19)


def test_a_turn_counts_the_time_of_its_later_steps(
    make_cell: MakeCell, built: list[Drawing]
) -> None:
    """Each step of a turn but the first takes its 2 ms in what is counted."""
    taker = TurnTaker(timing_of(with_options(make_cell(), step_s=0.002)))
    taker.begin()
    taker.take(4)
    [(seconds, steps)] = taker.pending
    assert steps == 4
    assert seconds >= 0.008
    assert len(built[0].seen) == 6


@pytest.mark.usefixtures("built")
def test_a_pair_of_rounds_that_a_training_does_not_complete_is_not_counted(
    make_cell: MakeCell,
) -> None:
    """Of 40 steps that count, all fit into whole pairs of rounds, equally many of each training."""
    takers = [TurnTaker(timing_of(with_options(make_cell()), min_s=0.002)) for _ in range(2)]
    first = StepTimes(counted_s=0.39, counted_steps=39, step_s=[], loss=None)  # one step in a turn
    assert take_turns(takers, first, FORTH_AND_BACK, settings.remember())
    assert takers[0].counted_steps == takers[1].counted_steps
    assert takers[0].counted_steps % 2 == 0


@pytest.mark.usefixtures("built")
def test_trainings_of_too_few_steps_take_no_turns(make_cell: MakeCell) -> None:
    """A training without two turns is not counted in turns, its own or that of another arm."""
    short = StepTimes(counted_s=0.03, counted_steps=3, step_s=[], loss=None)
    assert turn_lengths(short) == (0, 0)
    cells = [with_options(make_cell()), with_options(make_cell(), steps=4)]
    long = StepTimes(counted_s=0.39, counted_steps=39, step_s=[], loss=None)
    takers = [TurnTaker(timing_of(cell)) for cell in cells]
    assert not take_turns(takers, long, FORTH_AND_BACK, settings.remember())


@pytest.mark.parametrize(
    ("step_s", "lengths"),
    [(0.001, (10, 20)), (0.004, (2, 4)), (0.3, (1, 2)), (0.0001, (49, 49))],
    ids=["1 ms", "4 ms", "300 ms", "0.1 ms"],
)
def test_a_turn_takes_ten_to_twenty_milliseconds(step_s: float, lengths: tuple[int, int]) -> None:
    """A turn has as many steps as 10 to 20 ms hold, and at least one; a training holds two."""
    times = StepTimes(counted_s=100 * step_s, counted_steps=100, step_s=[], loss=None)
    assert turn_lengths(times) == lengths


@pytest.mark.usefixtures("built")
def test_trainings_with_threads_of_their_own_take_no_turns(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that loads data would go on in another training's turn."""
    end = threading.Event()
    threads: list[threading.Thread] = []

    def begin(_: TurnTaker) -> None:
        threads.append(threading.Thread(target=end.wait))
        threads[-1].start()

    monkeypatch.setattr(TurnTaker, "begin", begin)
    takers = [TurnTaker(timing_of(with_options(make_cell()))) for _ in range(2)]
    long = StepTimes(counted_s=0.39, counted_steps=39, step_s=[], loss=None)
    try:
        assert not take_turns(takers, long, FORTH_AND_BACK, settings.remember())
    finally:
        end.set()
        threads[0].join()
    assert len(threads) == 1


def test_every_step_is_counted_in_some_turn(
    make_cell: MakeCell, built: list[Drawing], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turns differ in length: of steps that are slow every second time, half of those count."""
    monkeypatch.setattr(turns, "LONGEST_TIMING", 1000)  # also on a busy machine
    cell = with_options(make_cell(), steps=200, step_s=0.002, slow_s=0.012)
    takers = [TurnTaker(timing_of(cell, min_s=0.5)) for _ in range(2)]
    first = StepTimes(counted_s=2.0, counted_steps=199, step_s=[], loss=None)  # a step in a turn
    assert take_turns(takers, first, FORTH_AND_BACK, settings.remember())
    assert built
    for taker in takers:
        pace = taker.counted_s / taker.counted_steps
        assert 0.0045 < pace < 0.0095  # near the mean of the two, 7 ms


def test_trainings_with_workers_are_timed_one_after_the_other(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loader workers would go on in the turn of another training, so each trains as a whole."""
    scenario = Scenario("loader", "loader", {"epochs": 1, "samples": 64})
    cell = replace(make_cell(), scenario=scenario)
    taken: list[int] = []

    def note(_: TurnTaker, steps: int) -> bool:
        taken.append(steps)
        return False

    monkeypatch.setattr(TurnTaker, "take", note)
    arms = (Arm(cell), Arm(cell, twin=True))
    block = RunSpec(cell, Kind.timing, 1, warmup=1, min_s=0.005, arms=arms)
    first, twin = run_block(block)
    assert not taken
    assert first.run
    assert twin.run
    assert first.run.timed.counted_steps == twin.run.timed.counted_steps
    assert not multiprocessing.active_children()


def test_trainings_that_do_not_fit_into_memory_together_take_no_turns(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 1 MiB of free memory, one training after the other is timed as a whole."""
    memory = SimpleNamespace(available=2**20)
    monkeypatch.setattr(timing_block, "psutil", SimpleNamespace(virtual_memory=lambda: memory))
    monkeypatch.setattr(timing_block, "peak_resident_mb", iter([100.0, 108.0]).__next__)
    monkeypatch.setattr(timing_block, "take_turns", None)
    cell = make_cell()
    block = replace(timing_of(cell), arms=(Arm(cell), Arm(cell, twin=True)))
    counted = [arm.run.timed.counted_steps for arm in run_block(block) if arm.run]
    assert len(counted) == 2
    assert counted[0] == counted[1] > 0


def test_an_arm_that_fails_in_its_turn_is_timed_by_whole_trainings(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception in turns loses no arm: each trains as a whole instead."""

    def fail(*_: object) -> bool:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(turns.TurnTaker, "take", fail)
    cell = make_cell()
    block = replace(timing_of(cell), arms=(Arm(cell), Arm(cell, twin=True)))
    for arm in run_block(block):
        assert arm.error is None
        assert arm.run
        assert arm.run.timed.counted_steps > 0
