"""Digests of files that a script has written: of what a checkpoint holds, not of its zip archive.

Two files that `torch.save` writes of equal tensors may differ in their bytes (pytorch issue 42163).
The folder that a script runs in has another name in each run, so that is taken out: Lightning keeps
absolute paths in its checkpoints.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from harness.worker.hashing import Part, hash_parts
from harness.worker.pytree import leaves
from harness.worker.torch_backend.digest import digest

CHECKPOINTS = frozenset({".pt", ".pth", ".ckpt", ".bin"})


def digest_file(path: Path, folder: Path) -> str:
    """``folder`` is the one that the script ran in."""
    held = _load_contents(path)
    if held is None:
        content = memoryview(path.read_bytes().replace(bytes(folder), b"."))
        return hash_parts([Part("file", "torch.uint8", (len(content),), content)])
    found = [(name.replace(str(folder), "."), one) for name, one in leaves(held, "")]
    tensors = [(name, one) for name, one in found if isinstance(one, Tensor)]
    plain = {
        name: repr(one).replace(str(folder), ".")
        for name, one in found
        if not isinstance(one, Tensor)
    }
    return digest(tensors, plain)


def _load_contents(path: Path) -> Any:
    """What is stored in a checkpoint or in arrays; None where only its bytes can be compared."""
    try:
        if not CHECKPOINTS.isdisjoint(path.suffixes):  # timm's are .pth.tar
            return torch.load(path, map_location="cpu", weights_only=True)
        if path.suffix == ".safetensors":
            return dict(sorted(load_file(path).items()))
        if path.suffix in (".npy", ".npz"):
            return _load_arrays(np.load(path, allow_pickle=False))
    except (
        OSError,
        ValueError,
        RuntimeError,
        EOFError,
        pickle.UnpicklingError,
        SafetensorError,
        zipfile.BadZipFile,
    ):
        return None
    return None


def _load_arrays(loaded: Any) -> dict[str, Any]:
    named: Iterator[tuple[str, Any]]
    named = iter(loaded.items()) if hasattr(loaded, "items") else iter([("", loaded)])
    return {
        name: torch.from_numpy(one) if one.dtype.kind in "biufc" else one.tolist()
        for name, one in named
    }
