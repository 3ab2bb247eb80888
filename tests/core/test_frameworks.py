"""What runs of each framework are evidence of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from harness.core.frameworks import can_fork, independent_runs
from harness.core.record import RunRecord
from harness.core.spec import Cell, Scenario


def test_forked_runs_count_once_per_server(trace: Callable[..., RunRecord]) -> None:
    """Runs that share a hash seed and an address layout are no independent evidence."""
    spawned = [trace(number) for number in range(4)]
    forked = [
        dataclasses.replace(run, server=name) for run, name in zip(spawned, "aabc", strict=True)
    ]
    assert independent_runs(spawned, forked=False) == 4
    assert independent_runs(forked, forked=True) == 3
    assert independent_runs([*spawned, *forked], forked=True) == 7


def test_records_that_name_no_server_count_as_those_of_two(trace: Callable[..., RunRecord]) -> None:
    """Studies of earlier versions forked all runs of a cell from two servers."""
    assert independent_runs([trace(number) for number in range(30)], forked=True) == 2
    assert independent_runs([trace(1)], forked=True) == 1


def test_scripts_are_never_forked(make_cell: Callable[..., Cell]) -> None:
    """Only scenarios of torch can be forked: what a script does before its import must work."""
    cell = make_cell()
    script = dataclasses.replace(
        cell, scenario=Scenario("script", "script", {}, framework="script")
    )
    assert can_fork(cell)
    assert not can_fork(script)
