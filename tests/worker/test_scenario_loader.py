"""A scenario accepts only the options that it defines, with values of their types."""

from __future__ import annotations

from typing import Any

import pytest

from harness.core.errors import UsageError
from harness.core.spec import Scenario
from harness.worker.scenario_loader import build_options, load_module


def build(name: str, **options: Any) -> Any:
    scenario = Scenario(name, name, options)
    return build_options(load_module(scenario), scenario)


@pytest.mark.parametrize(
    ("name", "options", "message"),
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
def test_an_invalid_option_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    """An unknown option or an invalid value raises UsageError with what is allowed."""
    with pytest.raises(UsageError, match=message):
        build(name, **options)


def test_a_float_option_accepts_an_integer() -> None:
    """An integer is a valid value for an option of type float."""
    assert build("mlp", learning_rate=1).learning_rate == 1


def test_a_missing_scenario_file_is_named() -> None:
    """If the file of a scenario does not exist, the error contains its name."""
    with pytest.raises(UsageError, match=r"nowhere\.py"):
        load_module(Scenario("x", "x", {}, source="nowhere.py"))
