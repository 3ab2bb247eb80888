"""Finds a scenario's program and fits its options: the only place that knows both."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.core.spec import Scenario

# What the public protocol was called before it became part of the package.
FORMER_PACKAGE = "scenarios"


def build_scenario(scenario: Scenario, context: Any) -> Any:
    """The training, of its framework's protocol, which the context must be of too."""
    module = load_module(scenario)
    return module.build(build_options(module, scenario), context)


def load_module(scenario: Scenario) -> types.ModuleType:
    """The scenario's module: scenarios/<name>.py, or a file of the user's own."""
    if scenario.source is None:
        return importlib.import_module(f"harness.scenarios.{scenario.name}")
    name = f"user_scenario_{scenario.name}"
    if name in sys.modules:
        return sys.modules[name]
    path = Path(scenario.source).expanduser()
    found = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or found is None or found.loader is None:
        raise UsageError(
            f"scenario '{scenario.label}': no program at {scenario.source}; "
            "run from the folder where the study was begun"
        )
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses look their module up while it is being executed
    sys.path[:0] = [str(path.resolve().parent), str(Path.cwd())]
    try:
        found.loader.exec_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == FORMER_PACKAGE:
            raise UsageError(
                f"scenario '{scenario.label}' imports {error.name}, which has moved: "
                "scenarios.base is harness.scenario now, scenarios.keras_base is "
                "harness.keras_scenario, and scenarios.mlp (for one) is harness.scenarios.mlp"
            ) from error
        raise
    return module


def build_options(module: types.ModuleType, scenario: Scenario) -> Any:
    """The module's Options, made of what was asked.

    Raises UsageError where a key, type or choice does not fit.
    """
    for needed in ("Options", "build"):
        if not hasattr(module, needed):
            raise UsageError(
                f"scenario '{scenario.label}': {module.__name__} has no `{needed}`; "
                "see harness/scenario.py for the protocol"
            )
    kinds = typing.get_type_hints(module.Options)
    for key, value in scenario.options.items():
        _check_option(scenario.label, key, value, kinds)
    try:
        return module.Options(
            **{key: _expand_home(value) for key, value in scenario.options.items()}
        )
    except ValueError as error:
        raise UsageError(f"scenario '{scenario.label}': {error}") from error


def _expand_home(value: Any) -> Any:
    """A path under the user's home, which records hold as ``~/...``, as the training needs it."""
    is_at_home = isinstance(value, str) and value.startswith("~/")
    return str(Path(value).expanduser()) if is_at_home else value


def _check_option(label: str, key: str, value: Any, kinds: Mapping[str, Any]) -> None:
    if key not in kinds:
        raise UsageError(
            f"scenario '{label}' has no option '{key}'; it has {', '.join(sorted(kinds))}"
        )
    kind = kinds[key]
    if typing.get_origin(kind) is typing.Literal:
        if value not in typing.get_args(kind):
            allowed = ", ".join(map(str, typing.get_args(kind)))
            raise UsageError(f"scenario.{key}={value}: allowed are {allowed}")
    elif not _matches_type(value, kind):
        raise UsageError(f"scenario.{key}={value}: {_type_name(kind)} is needed")
    elif kind is int and value < 0:
        raise UsageError(f"scenario.{key}={value}: a negative number makes no sense here")
    elif key in ("steps", "batch_size", "width", "epochs") and value == 0:
        raise UsageError(f"scenario.{key}=0: at least 1 is needed")


def _matches_type(value: Any, kind: Any) -> bool:
    """Whether a YAML value has the declared type; an int is a float, a bool is no int."""
    if isinstance(value, bool):
        return kind in (bool, Any)
    if kind is float:
        return isinstance(value, int | float)
    try:
        return isinstance(value, kind)
    except TypeError:  # a generic such as list[int]: the scenario itself must check
        return True


def _type_name(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind))
