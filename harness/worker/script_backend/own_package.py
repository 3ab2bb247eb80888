"""Hides this package from a project that has its own package ``harness``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from harness.core.paths import IMPORT_ROOT


@contextmanager
def hide_harness(folder: Path) -> Iterator[None]:
    """Import from this package's folder last, and unload it if ``folder`` has its own ``harness``.

    In a checkout that folder also holds ``scenarios``, ``conf`` and ``tests``.
    """
    before = sys.path[:]
    sys.path = [path for path in before if path != str(IMPORT_ROOT)] + [str(IMPORT_ROOT)]
    has_own = (folder / "harness").is_dir() or (folder / "harness.py").is_file()
    own_modules = unload_harness() if has_own else {}
    try:
        yield
    finally:
        sys.path = before
        if has_own:
            unload_harness()
            sys.modules.update(own_modules)


def unload_harness() -> dict[str, ModuleType]:
    """Remove this package from the loaded modules and return the removed modules."""
    names = [name for name in sys.modules if name.partition(".")[0] == "harness"]
    return {name: sys.modules.pop(name) for name in names}
