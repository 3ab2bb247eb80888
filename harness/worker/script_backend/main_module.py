"""Executes a script as the module ``__main__``, where it stays until exit handlers have run.

``runpy`` takes it away as soon as the script's last line has run; threads and exit handlers that
pickle one of its classes would then fail.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType


@contextmanager
def main_module() -> Iterator[ModuleType]:
    """In this context, ``__main__`` is a new module."""
    before, module = sys.modules["__main__"], ModuleType("__main__")
    sys.modules["__main__"] = module
    try:
        yield module
    finally:
        sys.modules["__main__"] = before


def run_path(path: Path, main: ModuleType) -> None:
    """Execute a file as ``python path`` does."""
    loader = SourceFileLoader("__main__", str(path))
    _execute(loader.source_to_code(path.read_bytes(), str(path)), main, str(path), None)


def run_module(name: str, main: ModuleType) -> None:
    """Execute a module, or the ``__main__`` of a package, as ``python -m name`` does.

    Raises ModuleNotFoundError.
    """
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.submodule_search_locations is not None:
        spec = importlib.util.find_spec(f"{name}.__main__")
    code = spec.loader.get_code(spec.name) if spec and spec.loader else None  # type: ignore[attr-defined]
    if spec is None or spec.origin is None or code is None:
        raise ModuleNotFoundError(f"No module named {name}", name=name)
    sys.argv[0] = spec.origin
    _execute(code, main, spec.origin, spec)


def _execute(code: CodeType, main: ModuleType, file: str, spec: ModuleSpec | None) -> None:
    main.__file__, main.__spec__ = file, spec
    main.__package__ = spec.parent if spec else None
    main.__loader__ = spec.loader if spec else SourceFileLoader("__main__", file)
    vars(main)["__builtins__"] = __builtins__
    vars(main)["__cached__"] = None
    exec(code, vars(main))  # noqa: S102 - the script, as Python runs it
