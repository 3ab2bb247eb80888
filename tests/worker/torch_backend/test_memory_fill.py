"""Newly allocated memory holds the value that a setting asks for."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from harness.worker.torch_backend.memory_fill import PATTERN, fill_new_memory


def allocate() -> Tensor:
    return torch.empty(4)


def test_new_memory_is_filled_until_told_otherwise() -> None:
    """The filled value is that of the kind named last, in compiled functions too."""
    try:
        fill_new_memory("nan")
        fill_new_memory("pattern")
        compiled = torch.compile(allocate, fullgraph=True)
        assert allocate().tolist() == compiled().tolist() == torch.full((4,), PATTERN).tolist()
        fill_new_memory("nan")
        assert all(map(math.isnan, allocate().tolist()))
    finally:
        fill_new_memory(None)
