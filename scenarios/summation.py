"""No training: floating-point sums whose order is the experiment, in the harness's protocol.

Each step sums one vector of normal numbers, forwards and backwards, one after the other as a loop
would; what it tells are those sums, the same vector's sum under several thread counts, and a
quotient of two equal expressions multiplied by itself very often.
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

THREADED = 2**20  # elements; torch sums shorter vectors on one thread


@dataclass(frozen=True)
class Options:
    numbers: int = 10_000
    steps: int = 4
    factors: int = 10**8  # how often the quotient is multiplied


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
            "orders_differ": any(one != other for one, other in self.sums),
            "threads_differ": sums_by_threads_differ(self.device, torch.float32),
            "threads_differ_float16": sums_by_threads_differ(self.device, torch.float16),
            "amplified": (product := amplified(self.options.factors)),
            "amplified_lost": 1 - product,
        }


def one_by_one(numbers: list[float]) -> float:
    """Left to right in float64: since Python 3.12 the built-in sum() compensates its errors."""
    total = 0.0
    for number in numbers:
        total += number
    return total


def sums_by_threads_differ(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether one vector has several sums under 1 to 4 threads of the CPU; CUDA asks for none."""
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
    """((2/9)·11 / (2·11/9))^factors by as many float64 multiplications, one after the other.

    The quotient is 1 − 2⁻⁵². A product 1 − k·2⁻⁵³ times it is 1 − (k + 2)·2⁻⁵³ + k·2⁻¹⁰⁵, and the
    last term is lost in rounding while k < 2⁵¹. So the result is counted rather than waited for.
    """
    quotient = (2 / 9 * 11) / (2 * 11 / 9)
    if quotient != 1 - 2**-52 or factors >= 2**50:
        raise ValueError(f"factors={factors}: fewer than 2^50 are needed, of a quotient 1 - 2^-52")
    return 1 - factors * 2**-52


def build(options: Options, context: Context) -> Summation:
    return Summation(options, context.device)
