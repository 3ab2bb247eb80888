"""What runs of each framework are evidence of."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from harness.core.frameworks import independent_runs, is_forked
from harness.core.spec import Cell, Isolation, Scenario


def test_forked_runs_count_once_per_server() -> None:
    """Runs that share a hash seed and an address layout are no independent evidence."""
    assert independent_runs(30, forked=True) == 2
    assert independent_runs(1, forked=True) == 1
    assert independent_runs(30, forked=False) == 30


def test_scripts_are_never_forked(make_cell: Callable[..., Cell]) -> None:
    """Only scenarios of torch are forked, on request."""
    cell = make_cell()
    script = dataclasses.replace(
        cell, scenario=Scenario("script", "script", {}, framework="script")
    )
    assert is_forked(cell, Isolation.fork)
    assert not is_forked(cell, Isolation.spawn)
    assert not is_forked(script, Isolation.fork)
