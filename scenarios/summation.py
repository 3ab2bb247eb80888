"""Floating-point sums in several orders, run as a scenario although nothing is trained.

Each step sums one vector of normal numbers in a loop, forwards and backwards. The facts report
these sums, whether the sum of one vector depends on the number of threads, and a quotient of two
mathematically equal expressions, multiplied by itself many times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.scenario import Context, Evaluation, Training

THREADED = 2**20  # elements; torch sums short vectors on one thread


@dataclass(frozen=True)
class Options:
    numbers: int = 10_000
    steps: int = 4
    factors: int = 10**8  # exponent of the quotient


@dataclass
class Summation(Training):
    options: Options
    device: torch.device
    models: dict[str, nn.Module] = field(default_factory=dict)
    optimizers: dict[str, Optimizer] = field(default_factory=dict)
    sums: list[tuple[float, float]] = field(default_factory=list)  # forwards, backwards

    def batches(self) -> Iterator[Tensor]:
        for _ in range(self.options.steps):
            yield torch.from_numpy(np.random.normal(size=self.options.numbers))

    def step(self, batch: Tensor) -> Tensor:
        numbers = batch.tolist()
        self.sums.append((one_by_one(numbers), one_by_one(numbers[::-1])))
        return torch.tensor(self.sums[-1], dtype=torch.float64)

    def evaluate(self) -> Evaluation:
        return Evaluation(torch.tensor(self.sums, dtype=torch.float64).flatten(), None)

    def facts(self) -> dict[str, Any]:
        forwards, backwards = self.sums[0]
        return {
            "forwards": forwards,
            "backwards": backwards,
            "difference": abs(forwards - backwards),
            "orders_differ": any(forward != backward for forward, backward in self.sums),
            "threads_differ": sums_by_threads_differ(self.device, torch.float32),
            "threads_differ_float16": sums_by_threads_differ(self.device, torch.float16),
            "amplified": (product := amplified(self.options.factors)),
            "amplified_lost": 1 - product,
        }


def one_by_one(numbers: list[float]) -> float:
    """Sum left to right in float64; the built-in sum() compensates errors since Python 3.12."""
    total = 0.0
    for number in numbers:
        total += number
    return total


def sums_by_threads_differ(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the sum of one vector differs among 1 to 4 CPU threads; CUDA ignores them."""
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(THREADED, generator=generator).to(device, dtype)
    threads = torch.get_num_threads()
    sums = set()
    try:
        for count in range(1, 5):
            torch.set_num_threads(count)
            sums.add(vector.sum().item())
    finally:
        torch.set_num_threads(threads)
    return len(sums) > 1


def amplified(factors: int) -> float:
    """Return the float64 result of multiplying 1 by (2/9·11) / (2·11/9) ``factors`` times.

    The quotient is 1 − 2⁻⁵². Multiplying 1 − k·2⁻⁵³ by it gives 1 − (k + 2)·2⁻⁵³ + k·2⁻¹⁰⁵, and
    rounding drops the last term while k < 2⁵¹. The result is therefore calculated without a loop.
    """
    quotient = (2 / 9 * 11) / (2 * 11 / 9)
    if quotient != 1 - 2**-52 or factors >= 2**50:
        raise ValueError(f"factors={factors}: must be less than 2^50, for a quotient of 1 - 2^-52")
    return 1 - factors * 2**-52


def build(options: Options, context: Context) -> Summation:
    return Summation(options, context.device)
