"""References to functions that a fresh process can import, by module or by file."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAIN = "__main__"
MP_MAIN = "__mp_main__"  # multiprocessing's name for it; `if __name__ == "__main__"` is false


@dataclass(frozen=True)
class FunctionRef:
    module: str
    file: str
    qualname: str


def reference_to(function: Callable[[], Any]) -> FunctionRef:
    """Return a reference to a function; raises TypeError if a fresh process could not find it."""
    if not inspect.isfunction(function):
        raise TypeError(
            f"{function!r} is not a function: write a module-level function without "
            "arguments that calls it, and pass that function"
        )
    name, names = function.__qualname__, function.__globals__
    if "<" in name:
        kind = "a lambda" if "<lambda>" in name else "a nested function"
        raise TypeError(
            f"{name} is {kind}, which a fresh process cannot find: move it and everything "
            "that it uses to the top level of its module"
        )
    if _resolve(names, name) is not function:
        raise TypeError(
            f"{name} in module {function.__module__} is now a different object: pass "
            "the function that the module has under that name"
        )
    file = names.get("__file__")
    if file is None or not Path(file).is_file():
        raise TypeError(
            f"{name} was defined at a prompt or in a notebook, where a fresh process cannot "
            "find it: move it to a file and import it from there"
        )
    spec = names.get("__spec__")  # has the real name under `python -m package.module`
    module = spec.name if spec is not None else function.__module__
    return FunctionRef(module, str(Path(file).resolve()), name)


def load_function(target: FunctionRef) -> Callable[[], Any]:
    """Import the function: by module name if that leads to the same file, otherwise by file."""
    by_name = _is_importable(target)
    module = importlib.import_module(target.module) if by_name else _load_from_file(target)
    return _resolve(vars(module), target.qualname)  # type: ignore[no-any-return]


def _is_importable(target: FunctionRef) -> bool:
    if target.module == MAIN:
        return False
    try:
        spec = importlib.util.find_spec(target.module)
    except (ImportError, ValueError):  # its package does not exist
        return False
    return spec is not None and spec.has_location and _is_same_file(spec.origin, target.file)


def _is_same_file(origin: str | None, file: str) -> bool:
    return origin is not None and str(Path(origin).resolve()) == file


def _load_from_file(target: FunctionRef) -> types.ModuleType:
    """Load a script or a test file; ``sys.path``, taken from the parent, has a script's folder."""
    name = MP_MAIN if target.module == MAIN else target.module
    spec = importlib.util.spec_from_file_location(name, target.file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module while it executes
    if name == MP_MAIN:
        # multiprocessing finds the main module by its spec's name or else by its file; a script
        # has no spec.
        sys.modules[MAIN] = module
        module.__spec__ = None
    spec.loader.exec_module(module)
    return module


def _resolve(names: Mapping[str, Any], qualname: str) -> Any:
    """Return the object with this dotted name, or None."""
    first, *rest = qualname.split(".")
    resolved = names.get(first)
    for name in rest:
        resolved = getattr(resolved, name, None)
    return resolved
