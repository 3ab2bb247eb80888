"""Is this PyTorch training reproducible here; how far do runs part; what does each setting cost?"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.observation import observe
    from harness.testing.reproducible import Comparison, assert_reproducible, compare_runs

__version__ = "0.1.0"
__all__ = ["Comparison", "__version__", "assert_reproducible", "compare_runs", "observe"]


def __getattr__(name: str) -> Any:
    """What is public is imported when it is asked for: every part of the harness imports this."""
    if name.startswith("_") or name not in __all__:
        raise AttributeError(f"module 'harness' has no attribute '{name}'")
    home = "harness.observation" if name == "observe" else "harness.testing.reproducible"
    return getattr(importlib.import_module(home), name)
