"""When to save parameter snapshots, and how to save equal ones only once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def is_due(step: int) -> bool:
    """Whether to save after ``step``: 1, 2, 4, 8, …, because divergence grows geometrically."""
    return step & (step - 1) == 0


def save_once(folder: Path, name: str, save: Callable[[Path], None]) -> str:
    """Save to ``<name>.safetensors`` unless it exists; return ``name``, the content's digest."""
    path = folder / f"{name}.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            save(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return name
