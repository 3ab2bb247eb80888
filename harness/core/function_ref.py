"""A function that a fresh process can find again: by its module, or by its file."""

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
MP_MAIN = "__mp_main__"  # as multiprocessing calls it, so that `if __name__ == "__main__"` is false


@dataclass(frozen=True)
class FunctionRef:
    module: str
    file: str
    qualname: str


def reference_to(function: Callable[[], Any]) -> FunctionRef:
    """Raises TypeError where a fresh process could not find the function."""
    if not inspect.isfunction(function):
        raise TypeError(
            f"{function!r} is no function: write a module-level function without "
            "arguments that calls it, and give that"
        )
    name, names = function.__qualname__, function.__globals__
    if "<" in name:
        kind = "a lambda" if "<lambda>" in name else "a function inside a function"
        raise TypeError(
            f"{name} is {kind}, which a fresh process cannot find: move it to the "
            "top of its module, where all that it uses is too"
        )
    if _resolve(names, name) is not function:
        raise TypeError(
            f"{name} in module {function.__module__} is another object by now: give "
            "the function that its module has under that name"
        )
    file = names.get("__file__")
    if file is None or not Path(file).is_file():
        raise TypeError(
            f"{name} was typed at a prompt or in a notebook, and a fresh process "
            "starts without it: put it into a file and import it"
        )
    spec = names.get("__spec__")  # of `python -m package.module` it has the true name
    module = spec.name if spec is not None else function.__module__
    return FunctionRef(module, str(Path(file).resolve()), name)


def load_function(target: FunctionRef) -> Callable[[], Any]:
    """The function, of a module imported anew: by name where that leads to its file."""
    by_name = _is_importable(target)
    module = importlib.import_module(target.module) if by_name else _load_from_file(target)
    return _resolve(vars(module), target.qualname)  # type: ignore[no-any-return]


def _is_importable(target: FunctionRef) -> bool:
    if target.module == MAIN:
        return False
    try:
        found = importlib.util.find_spec(target.module)
    except (ImportError, ValueError):  # of a package that is not there
        return False
    return found is not None and found.has_location and _is_same_file(found.origin, target.file)


def _is_same_file(origin: str | None, file: str) -> bool:
    return origin is not None and str(Path(origin).resolve()) == file


def _load_from_file(target: FunctionRef) -> types.ModuleType:
    """A script, or a test's file: the folder of a script is on the path that was handed over."""
    name = MP_MAIN if target.module == MAIN else target.module
    found = importlib.util.spec_from_file_location(name, target.file)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses look their module up while it is being executed
    if name == MP_MAIN:
        # Processes that it starts look there for its file, and for a name first, which a script has
        # none of.
        sys.modules[MAIN] = module
        module.__spec__ = None
    found.loader.exec_module(module)
    return module


def _resolve(names: Mapping[str, Any], qualname: str) -> Any:
    """What a dotted name leads to; None where it leads nowhere."""
    first, *rest = qualname.split(".")
    one = names.get(first)
    for name in rest:
        one = getattr(one, name, None)
    return one
