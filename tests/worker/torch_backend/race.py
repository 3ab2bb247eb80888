"""A backward pass on several threads whose additions race."""

from __future__ import annotations

import torch


def different_gradients(times: int = 20) -> int:
    """How many different gradients equal passes have; `index_put` adds 400,000 values to 100."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(100, generator=generator, requires_grad=True)
    index = torch.randint(0, 100, (400_000,), generator=generator)
    factor = torch.randn(400_000, generator=generator)
    found = set()
    for _ in range(times):
        weights.grad = None
        (weights[index] * factor).sum().backward()
        assert weights.grad is not None
        found.add(weights.grad.numpy().tobytes())
    return len(found)
