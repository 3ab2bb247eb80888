"""Which planned runs are still to be run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from harness.core.blocks import runs_apart
from harness.core.completion import done_runs, is_settled, unfinished_runs
from harness.core.record import Outcome, RunRecord
from harness.core.spec import Arm, Cell, Kind, RunSpec
from tests.conftest import repeat

Trace = Callable[..., RunRecord]
MakeCell = Callable[..., Cell]


@pytest.mark.parametrize(
    ("results", "settled"),
    [
        ("abcd", True),  # all differ
        ("aabb", True),  # half differ
        ("aaab", False),  # it varies, perhaps rarely: more runs say how often
        ("aaaa", False),
        ("abc", False),  # the first stage is not complete
    ],
)
def test_a_cell_is_settled_if_half_of_its_first_runs_differ(
    trace: Trace, results: str, settled: bool
) -> None:
    """Only a cell that obviously varies gets no more than the four runs of its first stage."""
    runs = [trace(number, repeat(result)) for number, result in enumerate(results, 1)]
    assert is_settled(runs, 4) is settled
    assert is_settled([*runs, trace(5, repeat("a"))], 4) is settled


def test_a_cell_that_never_completes_is_settled(trace: Trace) -> None:
    """Thirty timeouts tell no more than four. A run that was killed from outside tells nothing."""
    failed = [trace(number, outcome=Outcome.timeout) for number in range(1, 5)]
    assert is_settled(failed, 4)
    assert not is_settled([*failed[:3], trace(4, outcome=Outcome.lost)], 4)
    assert not is_settled([*failed[:3], trace(4, repeat("a"))], 4)


def test_later_trace_runs_of_a_settled_cell_are_not_missing(trace: Trace) -> None:
    """A study is complete without them, and without timing blocks that its cell does not need."""
    runs = [trace(number, repeat(result)) for number, result in enumerate("abc", 1)]
    timing = dataclasses.replace(runs[0].spec, kind=Kind.timing, number=3).run_id
    planned = [run.run_id for run in runs] + [timing]
    _, second, third = (run.run_id for run in runs)
    assert unfinished_runs(planned, runs[:2], 2, {}) == {timing}
    assert unfinished_runs(planned, runs[:2], None, {}) == {timing, third}
    assert unfinished_runs(planned, runs[:1], 2, {}) == {timing, second, third}
    assert unfinished_runs(planned, runs[:2], 2, {"mlp-seed-cpu": 2}) == set()


@pytest.fixture
def block(make_cell: MakeCell) -> RunSpec:
    seed = make_cell("seed")
    return RunSpec(seed, Kind.timing, 1, arms=(Arm(seed), Arm(make_cell("full")), Arm(seed, True)))


def test_a_block_that_died_is_done_once_each_arm_was_timed_alone(block: RunSpec) -> None:
    """An interruption between the two makes `resume` run the block again."""
    died = RunRecord(block.run_id, block, Outcome.crashed)
    apart = [RunRecord(spec.run_id, spec, Outcome.ok) for spec in runs_apart(block)]
    assert block.run_id not in done_runs([died, *apart[:2]])
    assert block.run_id in done_runs([died, *apart])
    lost = dataclasses.replace(died, outcome=Outcome.lost)
    assert not done_runs([lost])
