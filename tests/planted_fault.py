"""Flips a bit of one result of a training, so that its origin is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class PlantedFault(TorchDispatchMode):
    """Flips the last bit of one element of the output of one call of an operation."""

    def __init__(self, name: str, occurrence: int) -> None:
        super().__init__()
        self.name, self.occurrence, self.calls = name, occurrence, 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if str(func) == self.name:
            self.calls += 1
            if self.calls == self.occurrence:
                values = tree_leaves(output if output is not None else args)
                flip_last_bit(next(value for value in values if has_floats(value)))
        return output


def has_floats(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and value.numel() > 0


def flip_last_bit(tensor: Tensor) -> None:
    kind = {2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    element = tensor.detach()[(0,) * tensor.ndim]
    element.view(kind).bitwise_xor_(1)
