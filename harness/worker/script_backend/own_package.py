"""Hides this package from a project that has its own package ``harness``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


@contextmanager
def hide_harness(folder: Path) -> Iterator[None]:
    """Unload this package while a script runs whose folder has its own ``harness``."""
    if not (folder / "harness").is_dir() and not (folder / "harness.py").is_file():
        yield
        return
    own_modules = _unload("harness")
    try:
        yield
    finally:
        _unload("harness")
        sys.modules.update(own_modules)


def _unload(package: str) -> dict[str, ModuleType]:
    """Remove a package from the loaded modules and return the removed modules."""
    names = [name for name in sys.modules if name.partition(".")[0] == package]
    return {name: sys.modules.pop(name) for name in names}
