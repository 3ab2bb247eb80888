"""Digests of the files that a script writes: of a checkpoint's contents, not of its zip archive.

Two files that `torch.save` writes from equal tensors can differ in their bytes (pytorch issue
42163). The sandbox path, which changes with every run, is replaced in contents and names, because
Lightning stores absolute paths in its checkpoints.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from harness.worker.hashing import Part, hash_parts
from harness.worker.pytree import leaves
from harness.worker.torch_backend.digest import digest

CHECKPOINTS = frozenset({".pt", ".pth", ".ckpt", ".bin"})


def digest_file(path: Path, folder: Path) -> str:
    """Return the digest of a file that a script wrote while it ran in ``folder``."""
    contents = _load_contents(path)
    if contents is None:
        data = memoryview(path.read_bytes().replace(bytes(folder), b"."))
        return hash_parts([Part("file", "torch.uint8", (len(data),), data)])
    named = [(name.replace(str(folder), "."), value) for name, value in leaves(contents, "")]
    tensors = [(name, value) for name, value in named if isinstance(value, Tensor)]
    plain = {
        name: repr(value).replace(str(folder), ".")
        for name, value in named
        if not isinstance(value, Tensor)
    }
    return digest(tensors, plain)


def _load_contents(path: Path) -> Any:
    """Load a checkpoint or NumPy arrays; None if only the file's bytes can be compared."""
    try:
        if not CHECKPOINTS.isdisjoint(path.suffixes):  # timm writes .pth.tar
            return torch.load(path, map_location="cpu", weights_only=True)
        if path.suffix == ".safetensors":
            return dict(sorted(load_file(path).items()))
        if path.suffix in (".npy", ".npz"):
            return _load_arrays(np.load(path, allow_pickle=False))
    except Exception:  # noqa: BLE001 - a file with such a name may hold anything
        return None
    return None


def _load_arrays(loaded: Any) -> dict[str, Any]:
    named: Iterator[tuple[str, Any]]
    named = iter(loaded.items()) if hasattr(loaded, "items") else iter([("", loaded)])
    return {
        name: torch.from_numpy(array) if array.dtype.kind in "biufc" else array.tolist()
        for name, array in named
    }
