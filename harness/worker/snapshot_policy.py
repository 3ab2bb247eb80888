"""When parameters are kept for the distances between runs, and that equal ones are kept once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def is_due(step: int) -> bool:
    """At steps 1, 2, 4, 8, …: divergence grows by factors, not by steps."""
    return step & (step - 1) == 0


def save_once(folder: Path, name: str, save: Callable[[Path], None]) -> str:
    """Has them saved under their digest, which is returned, unless that is there already."""
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
