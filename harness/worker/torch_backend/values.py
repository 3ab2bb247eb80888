"""Whatever a training gives, taken apart into what can be compared: tensors and plain values."""

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

PLAIN = (str, int, bool, type(None), Enum, PurePath, torch.dtype, torch.device, torch.layout)

TensorLeaves = list[tuple[Leaf, Tensor | None]]  # a tensor's leaf with the tensor itself


def flatten(value: Any, root: str) -> TensorLeaves:
    """Every leaf of nested dictionaries, lists, tuples, dataclasses and state_dicts, in order.

    Raises TypeError, naming the leaf, for what has no defined bits, ValueError for a name that two
    leaves have, or where there is no leaf at all.
    """
    found = [one for name, leaf in _named_leaves(value, root) for one in _to_leaves(name, leaf)]
    names = [leaf.name for leaf, _ in found]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(
            f"two values are both named '{twice}': give one of their keys another name"
        )
    if not found or value is None:
        raise ValueError(
            f"'{root}' is {value!r}, which says nothing of a training: give the "
            "model, its losses, or whatever must be equal"
        )
    return found


def _named_leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """As ``leaves``, with models, optimizers and their like by their state_dict."""
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
    if isinstance(leaf, PLAIN):
        return [(Leaf(name, type(leaf).__name__, repr(leaf)), None)]
    if isinstance(leaf, np.ndarray | np.generic):
        leaf = _array_to_tensor(name, np.asarray(leaf))
    if isinstance(leaf, Tensor):
        return [(_leaf_of(part_name, part), part) for part_name, part in dense_parts(name, leaf)]
    if isinstance(leaf, set | frozenset):
        raise TypeError(
            f"'{name}' is a set, which has no order: give sorted(...) of it, or a list "
            "where its order is what must be equal"
        )
    raise TypeError(
        f"'{name}' is a {type(leaf).__name__}, which has no defined bits: allowed are "
        "tensors, NumPy arrays, numbers, strings, what has a state_dict, and "
        "dictionaries, lists, tuples and dataclasses of them"
    )


def _leaf_of(name: str, tensor: Tensor) -> Leaf:
    return Leaf(name, str(tensor.dtype), digest([(name, tensor)]), tuple(tensor.shape))


def _array_to_tensor(name: str, array: np.ndarray[Any, Any]) -> Tensor:
    """A copy, in the machine's byte order: torch takes neither foreign nor read-only memory."""
    try:
        return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), order="C"))
    except TypeError as error:
        raise TypeError(
            f"'{name}' is an array of {array.dtype}, which torch has no type for: "
            "allowed are numbers of up to 64 bits"
        ) from error


def size_mb(seen: TensorLeaves) -> float:
    """Of the tensors, as they are handed over."""
    return (
        sum(tensor.numel() * tensor.element_size() for _, tensor in seen if tensor is not None)
        / 2**20
    )


def copy_tensors(seen: TensorLeaves) -> dict[str, Tensor]:
    """Of their own, in types that NumPy has: see ``snapshot.stored``."""
    return {leaf.name: to_storable(tensor) for leaf, tensor in seen if tensor is not None}


def save_result(folder: Path, leaves_: Iterable[Leaf], tensors: dict[str, Tensor]) -> None:
    """The tensors first: where the document stands, all is there."""
    save_file(tensors, folder / TENSORS)
    write(folder, leaves_)
