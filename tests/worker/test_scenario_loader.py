"""A scenario takes only options that it has, of their type."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.errors import UsageError
from harness.core.spec import Scenario
from harness.worker.scenario_loader import build_options, load_module


def fitted(name: str, **asked: Any) -> Any:
    scenario = Scenario(name, name, asked)
    return build_options(load_module(scenario), scenario)


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("mlp", {"foo": 1}, "no option 'foo'; its options are batch_size"),
        ("mlp", {"steps": "many"}, "scenario.steps=many: must be of type int"),
        ("mlp", {"steps": 1.5}, "must be of type int"),
        ("mlp", {"steps": True}, "must be of type int"),
        ("mlp", {"steps": 0}, "at least 1"),
        ("mlp", {"batch_size": -4}, "negative"),
        ("mlp", {"data": "faces"}, "must be one of random, digits"),
        ("upsample", {"impl": "expand", "mode": "bicubic"}, "mode=nearest"),
        ("loader", {"rng": "none"}, "must be one of global, owned, per_worker"),
    ],
)
def test_what_does_not_fit_is_named(name: str, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fitted(name, **asked)


def test_a_whole_number_is_a_float_too() -> None:
    assert fitted("mlp", learning_rate=1).learning_rate == 1


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match=r"nowhere\.py"):
        load_module(Scenario("x", "x", {}, source="nowhere.py"))
