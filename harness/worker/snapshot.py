"""Parameters kept for the distances between runs, once per digest."""

from __future__ import annotations

import os
from pathlib import Path

from safetensors.torch import save_file

from harness.worker.digest import digest
from harness.worker.state import params
from scenarios.base import Training


def is_due(step: int) -> bool:
    """At steps 1, 2, 4, 8, …: divergence grows by factors, not by steps."""
    return step & (step - 1) == 0


def keep(training: Training, folder: Path) -> str:
    """Stores the parameters under their digest, which is returned; equal ones are stored once."""
    name = digest(params(training))
    path = folder / f"{name}.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        tensors = {key: value.detach().cpu().contiguous() for key, value in params(training)}
        try:
            save_file(tensors, temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return name
