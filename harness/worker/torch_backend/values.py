"""Flattens the result of a training into comparable leaves: tensors and plain values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from harness.core.leaf_file import TENSORS, Leaf, write
from harness.worker.pytree import leaves
from harness.worker.torch_backend.digest import dense_parts, digest
from harness.worker.torch_backend.snapshot import to_storable

REPR_TYPES = (str, int, bool, type(None), Enum, PurePath, torch.dtype, torch.device, torch.layout)

TensorLeaves = list[tuple[Leaf, Tensor | None]]  # with the tensor of a tensor leaf


def flatten(value: Any, root: str) -> TensorLeaves:
    """Return the leaves of nested dictionaries, lists, tuples, dataclasses, state_dicts, in order.

    Raises TypeError, naming the leaf, if it has no defined bits. Raises ValueError if two leaves
    have the same name, or if there is no leaf.
    """
    flat = [pair for name, leaf in _named_leaves(value, root) for pair in _to_leaves(name, leaf)]
    names = [leaf.name for leaf, _ in flat]
    if len(set(names)) < len(names):
        duplicate = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two values are both named '{duplicate}': rename one of their keys")
    if not flat or value is None:
        raise ValueError(
            f"'{root}' is {value!r}, which says nothing about the training: use the model, its "
            "losses, or any other result that must be reproducible"
        )
    return flat


def _named_leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield ``leaves``, replacing models, optimizers and similar objects by their state_dict."""
    for name, leaf in [(path, value)] if _has_state(value) else leaves(value, path):
        if _has_state(leaf):
            yield from _named_leaves(leaf.state_dict(), name)
        else:
            yield name, leaf


def _has_state(value: Any) -> bool:
    return callable(getattr(value, "state_dict", None)) and not isinstance(value, type)


def _to_leaves(name: str, leaf: Any) -> TensorLeaves:
    if isinstance(leaf, float | complex):
        leaf = np.asarray(leaf)
    if isinstance(leaf, REPR_TYPES):
        return [(Leaf(name, type(leaf).__name__, repr(leaf)), None)]
    if isinstance(leaf, np.ndarray | np.generic):
        leaf = _array_to_tensor(name, np.asarray(leaf))
    if isinstance(leaf, Tensor):
        return [(_leaf_of(part_name, part), part) for part_name, part in dense_parts(name, leaf)]
    if isinstance(leaf, set | frozenset):
        raise TypeError(
            f"'{name}' is a set, which has no order: use sorted(...), or a list if the order "
            "must be reproducible too"
        )
    raise TypeError(
        f"'{name}' is a {type(leaf).__name__}, which has no defined bits: use tensors, "
        "NumPy arrays, numbers, strings, objects with a state_dict, or dictionaries, lists, tuples "
        "and dataclasses of these"
    )


def _leaf_of(name: str, tensor: Tensor) -> Leaf:
    """Digest a copy in host memory: a stored value may come from a machine without the device."""
    return Leaf(name, str(tensor.dtype), digest([(name, tensor.cpu())]), tuple(tensor.shape))


def _array_to_tensor(name: str, array: np.ndarray[Any, Any]) -> Tensor:
    """Copy in native byte order: torch accepts neither a foreign order nor read-only memory."""
    try:
        return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), order="C"))
    except TypeError as error:
        raise TypeError(
            f"'{name}' is an array of dtype {array.dtype}, which torch does not support: "
            "use numbers of at most 64 bits"
        ) from error


def size_mb(tensor_leaves: TensorLeaves) -> float:
    """Return the total size in MiB of the tensors in their own dtypes."""
    tensors = [tensor for _, tensor in tensor_leaves if tensor is not None]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 2**20


def copy_tensors(tensor_leaves: TensorLeaves) -> dict[str, Tensor]:
    """Return copies of the tensors by leaf name, as ``snapshot.to_storable`` makes them."""
    return {leaf.name: to_storable(tensor) for leaf, tensor in tensor_leaves if tensor is not None}


def save_result(folder: Path, leaves_: Iterable[Leaf], tensors: dict[str, Tensor]) -> None:
    """Save the tensors first: if the JSON document exists, the result is complete."""
    save_file(tensors, folder / TENSORS)
    write(folder, leaves_)
