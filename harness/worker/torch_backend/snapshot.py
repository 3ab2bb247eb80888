"""Parameters kept for the distances between runs, once per digest."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from harness.worker.snapshot_policy import is_due, save_once
from harness.worker.torch_backend.components import TrainingState, params
from harness.worker.torch_backend.digest import digest

__all__ = ["is_due", "save_snapshot"]


def to_storable(tensor: Tensor) -> Tensor:
    """A copy of its own (safetensors refuses tied ones), in a type that NumPy has: every bfloat16
    or float8 is a float32 too. Distances in ulp are then counted in float32's.
    """
    tensor = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
    narrow = tensor.is_floating_point() and tensor.dtype not in (torch.float16, torch.float64)
    dtype = torch.float32 if narrow else tensor.dtype
    return tensor.detach().to("cpu", dtype, copy=True).contiguous()


def save_snapshot(training: TrainingState, folder: Path) -> str:
    """Stores the parameters under their digest, which is returned; equal ones are stored once."""

    def save(path: Path) -> None:
        save_file({key: to_storable(value) for key, value in params(training)}, path)

    return save_once(folder, digest(params(training)), save)
