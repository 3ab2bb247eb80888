"""A scenario whose step does a given amount of work, for benchmarks/block.py."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.scenario import Context, Evaluation, Training


@dataclass(frozen=True)
class Options:
    products: int = 200  # matrix products in a step: one more is 0.5 % more work
    steps: int = 20


class Work(Training):
    def __init__(self, options: Options) -> None:
        self.options = options
        self.models, self.optimizers = {}, {}
        self.matrix = torch.eye(96)

    def batches(self) -> Iterator[Tensor]:
        for _ in range(self.options.steps):
            yield self.matrix

    def step(self, batch: Tensor) -> Tensor:
        for _ in range(self.options.products):
            batch = batch @ self.matrix
        return batch.sum()

    def evaluate(self) -> Evaluation:
        return Evaluation(torch.zeros(1), None)


def build(options: Options, context: Context) -> Work:  # noqa: ARG001
    return Work(options)
