"""Measures whether trainings are reproducible, how far runs diverge, and what settings cost."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.core.observe import observe
    from harness.testing.api import Comparison, assert_reproducible, compare_runs

__version__ = "0.1.0"
__all__ = ["Comparison", "__version__", "assert_reproducible", "compare_runs", "observe"]

# harness.scenarios is inside this package in an installed wheel, and beside it in a checkout.
if not (Path(__file__).parent / "scenarios").is_dir():
    __path__.append(str(Path(__file__).parent.parent))


def __getattr__(name: str) -> Any:
    """What is public is imported when it is asked for: every part of the harness imports this."""
    if name.startswith("_") or name not in __all__:
        raise AttributeError(f"module 'harness' has no attribute '{name}'")
    home = "harness.core.observe" if name == "observe" else "harness.testing.api"
    return getattr(importlib.import_module(home), name)
