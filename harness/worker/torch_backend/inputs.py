"""Digests of the data that a script's models are called with.

Data is what no observed forward made: with ``head(encoder(x))`` it is ``x``, and what ``head`` is
called with is an activation. Nothing is kept but digests and weak references.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from harness.worker.pytree import leaves
from harness.worker.torch_backend.components import Bits


class InputDigests:
    def __init__(self) -> None:
        self.digests: list[str] = []  # of each forward since the last step
        self.undigested: set[str] = set()  # types of arguments that have no defined bits
        self.outputs: dict[int, StorageWeakRef] = {}  # memory of outputs since the last step

    def add(self, arguments: Any, output: Any) -> None:
        """Take the arguments of a forward, and note its output as an activation."""
        bits = Bits(is_counted=self._is_data)
        try:
            bits.add(arguments, "batch")
            self.digests.append(bits.digest())
            for storage in _storages(output):
                self.outputs[storage._cdata] = StorageWeakRef(storage)
        except (RuntimeError, NotImplementedError, TypeError):  # under vmap, or on the meta device
            self.digests.append("")
            self.undigested.add("tensor without memory of its own")
        self.undigested |= bits.undigested

    def clear(self) -> None:
        self.digests.clear()
        self.outputs.clear()

    def _is_data(self, tensor: Tensor) -> bool:
        if tensor.grad_fn is not None:
            return False
        made = (self.outputs.get(storage._cdata) for storage in _storages(tensor))
        return all(reference is None or reference.expired() for reference in made)


def _storages(tree: Any) -> Iterator[torch.UntypedStorage]:
    """Iterate over the memory of the dense tensors in nested objects."""
    for _, leaf in leaves(tree, ""):
        if isinstance(leaf, Tensor) and leaf.layout == torch.strided:
            yield leaf.untyped_storage()
