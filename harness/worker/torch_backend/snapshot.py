"""Saves parameters, from which distances between runs are computed, once per digest."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from harness.worker.snapshot_policy import is_due, save_once
from harness.worker.torch_backend.components import TrainingState, params
from harness.worker.torch_backend.digest import dense_parts, digest

__all__ = ["is_due", "save_snapshot"]


def to_storable(tensor: Tensor) -> Tensor:
    """Return a contiguous CPU copy; it shares no memory, because safetensors refuses tied tensors.

    NumPy lacks bfloat16 and float8: they become float32, which is exact; their ulp is float32's.
    """
    tensor = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
    to_float32 = tensor.is_floating_point() and tensor.dtype not in (torch.float16, torch.float64)
    dtype = torch.float32 if to_float32 else tensor.dtype
    return tensor.detach().to("cpu", dtype, copy=True).contiguous()


def save_snapshot(training: TrainingState, folder: Path) -> str:
    """Save the parameters under their digest and return it; equal parameters are saved once."""

    def save(path: Path) -> None:
        tensors = {
            name: to_storable(part)
            for key, tensor in params(training)
            for name, part in dense_parts(key, tensor)
        }
        save_file(tensors, path)

    return save_once(folder, digest(params(training)), save)
