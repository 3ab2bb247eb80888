"""Measure whether trainings are reproducible, how far runs diverge, and what settings cost."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.core.observe import observe
    from harness.testing.api import Comparison, assert_reproducible, compare_runs

__version__ = "0.1.0"
__all__ = ["Comparison", "__version__", "assert_reproducible", "compare_runs", "observe"]

# An installed wheel has harness.scenarios inside this package, a checkout has it next to it.
if not (Path(__file__).parent / "scenarios").is_dir():
    __path__.append(str(Path(__file__).parent.parent))


def __getattr__(name: str) -> Any:
    """Import the public API on first use, since every part of the harness imports this package."""
    if name.startswith("_") or name not in __all__:
        raise AttributeError(f"module 'harness' has no attribute '{name}'")
    module = "harness.core.observe" if name == "observe" else "harness.testing.api"
    return getattr(importlib.import_module(module), name)
