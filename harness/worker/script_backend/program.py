"""Which file a script is."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.spec import Scenario


def program_path(scenario: Scenario) -> Path:
    """Return the absolute path of the script or module.

    Raises UsageError unless exactly one of ``path`` and ``module`` is set and the file exists.
    """
    path, module = scenario.options["path"], scenario.options["module"]
    if (path is None) == (module is None):
        raise UsageError(
            "a script needs exactly one of scenario.path=train.py and scenario.module=package.train"
        )
    file = Path(str(path)).expanduser() if path else _module_file(str(module))
    if not file.is_file():
        raise UsageError(
            f"scenario.path={path}: no such file; give the script's path relative to the folder "
            "where you run the command"
        )
    return file.resolve()


def _module_file(module: str) -> Path:
    sys.path.insert(0, str(Path.cwd()))
    try:
        spec = importlib.util.find_spec(module)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{module}.__main__")
    except ImportError:
        spec = None
    finally:
        sys.path.pop(0)
    if spec is None or spec.origin is None or not spec.has_location:
        raise UsageError(
            f"scenario.module={module}: no such module in a file; "
            f"`python -m {module}` must find it from the folder where you run the command"
        )
    return Path(spec.origin)


def program_name(scenario: Scenario) -> str:
    return str(scenario.options["path"] or scenario.options["module"])
