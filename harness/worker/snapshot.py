"""Parameters kept for the distances between runs, once per digest."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from harness.worker.digest import digest
from harness.worker.state import params
from scenarios.base import Training


def is_due(step: int) -> bool:
    """At steps 1, 2, 4, 8, …: divergence grows by factors, not by steps."""
    return step & (step - 1) == 0


def stored(tensor: Tensor) -> Tensor:
    """A copy of its own (safetensors refuses tied ones), in a type that NumPy has: every bfloat16
    or float8 is a float32 too. Distances in ulp are then counted in float32's.
    """
    narrow = tensor.is_floating_point() and tensor.dtype not in (torch.float16, torch.float64)
    dtype = torch.float32 if narrow else tensor.dtype
    return tensor.detach().to("cpu", dtype, copy=True).contiguous()


def keep(training: Training, folder: Path) -> str:
    """Stores the parameters under their digest, which is returned; equal ones are stored once."""
    name = digest(params(training))
    path = folder / f"{name}.safetensors"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        tensors = {key: stored(value) for key, value in params(training)}
        try:
            save_file(tensors, temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return name
