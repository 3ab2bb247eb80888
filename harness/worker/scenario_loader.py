"""Loads a scenario's program and builds its options; no other module does either."""

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
from harness.core.paths import SCENARIOS
from harness.core.spec import Scenario

# Modules of the package ``scenarios`` before it moved into ``harness``.
MOVED = {"base", "keras_base", *(path.stem for path in SCENARIOS.glob("*.py"))}


def build_scenario(scenario: Scenario, context: Any) -> Any:
    """Build the training; ``context`` must be the Context of the scenario's framework."""
    module = load_module(scenario)
    return module.build(build_options(module, scenario), context)


def load_module(scenario: Scenario) -> types.ModuleType:
    """Import scenarios/<name>.py, or the user's file at ``scenario.source``.

    Raises UsageError if the file is missing or imports the former ``scenarios`` package.
    """
    if scenario.source is None:
        return importlib.import_module(f"harness.scenarios.{scenario.name}")
    name = f"user_scenario_{scenario.name}"
    if name in sys.modules:
        return sys.modules[name]
    path = Path(scenario.source).expanduser()
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise UsageError(
            f"scenario '{scenario.label}': no Python file at {scenario.source}; "
            "run from the folder in which the study was started"
        )
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module while it executes
    sys.path[:0] = [str(path.resolve().parent), str(Path.cwd())]
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        if _has_moved(error.name or ""):
            raise UsageError(
                f"scenario '{scenario.label}' imports {error.name}, which has moved: "
                "import harness.scenario instead of scenarios.base, harness.keras_scenario instead "
                "of scenarios.keras_base, and harness.scenarios.NAME instead of scenarios.NAME"
            ) from error
        raise
    return module


def _has_moved(module: str) -> bool:
    package, _, name = module.partition(".")
    return package == "scenarios" and (not name or name in MOVED)


def build_options(module: types.ModuleType, scenario: Scenario) -> Any:
    """Return the module's ``Options`` with the requested values.

    Raises UsageError if ``Options`` or ``build`` is missing, or an option is unknown or invalid.
    """
    for name in ("Options", "build"):
        if not hasattr(module, name):
            raise UsageError(
                f"scenario '{scenario.label}': {module.__name__} has no `{name}`; "
                "see harness/scenario.py for the protocol"
            )
    types_by_option = typing.get_type_hints(module.Options)
    for key, value in scenario.options.items():
        _check_option(scenario.label, key, value, types_by_option)
    try:
        return module.Options(
            **{key: _expand_home(value) for key, value in scenario.options.items()}
        )
    except ValueError as error:
        raise UsageError(f"scenario '{scenario.label}': {error}") from error


def _expand_home(value: Any) -> Any:
    """Expand a path under the user's home, which records store as ``~/...``."""
    is_under_home = isinstance(value, str) and value.startswith("~/")
    return str(Path(value).expanduser()) if is_under_home else value


def _check_option(label: str, key: str, value: Any, types_by_option: Mapping[str, Any]) -> None:
    if key not in types_by_option:
        options = ", ".join(sorted(types_by_option))
        raise UsageError(f"scenario '{label}' has no option '{key}'; its options are {options}")
    expected = types_by_option[key]
    if typing.get_origin(expected) is typing.Literal:
        if value not in typing.get_args(expected):
            allowed = ", ".join(map(str, typing.get_args(expected)))
            raise UsageError(f"scenario.{key}={value}: must be one of {allowed}")
    elif not _matches_type(value, expected):
        raise UsageError(f"scenario.{key}={value}: must be of type {_type_name(expected)}")
    elif expected is int and value < 0:
        raise UsageError(f"scenario.{key}={value}: must not be negative")
    elif key in ("steps", "batch_size", "width", "epochs") and value == 0:
        raise UsageError(f"scenario.{key}=0: must be at least 1")


def _matches_type(value: Any, expected: Any) -> bool:
    """Whether a YAML value has the declared type; an int is a valid float, a bool not an int."""
    if isinstance(value, bool):
        return expected in (bool, Any)
    if expected is float:
        return isinstance(value, int | float)
    try:
        return isinstance(value, expected)
    except TypeError:  # a generic such as list[int], which the scenario must check
        return True


def _type_name(expected: Any) -> str:
    return getattr(expected, "__name__", str(expected))
