"""Fills newly allocated memory, so that reads of uninitialized memory depend on the fill value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# Prefixes of operations that return uninitialized memory.
UNINITIALIZED = ("aten::empty", "aten::new_empty", "aten::_empty", "aten::resize_")
PATTERN = 123456.789
VALUES = {"zeros": 0.0, "nan": float("nan"), "pattern": PATTERN}


class _FillMode(TorchDispatchMode):
    """Fill the output of every operation that returns uninitialized memory."""

    def __init__(self, value: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.value = value

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if func.name().startswith(UNINITIALIZED) and isinstance(output, Tensor):
            _fill(output, self.value)
        return output


def _fill(tensor: Tensor, value: float) -> None:
    """Fill in place; an integer dtype gets its maximum for NaN and for values above it."""
    if tensor.layout != torch.strided or tensor.is_meta:
        return
    if tensor.is_floating_point() or tensor.is_complex():
        tensor.fill_(value)
    elif tensor.dtype is torch.bool:
        tensor.fill_(value != 0)
    else:
        top = torch.iinfo(tensor.dtype).max
        tensor.fill_(top if math.isnan(value) else min(top, int(value)))


active = ExitStack()  # the mode of this process, if it fills memory


def fill_new_memory(kind: str | None) -> None:
    """Fill new memory in this process with ``VALUES[kind]`` from now on; None stops filling."""
    active.close()
    if kind is not None:
        # A compiled region cannot run in a dispatch mode; one with fullgraph=True would fail.
        active.enter_context(torch.compiler.set_stance("force_eager"))
        active.enter_context(_FillMode(VALUES[kind]))
