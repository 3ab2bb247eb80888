"""The positive control: a training that must not be reproducible with seeds alone.

Many indices read a table with few rows, so the backward adds many numbers to each row. On a CPU
with two or more threads, the backward of float32 ``table[index]`` is an accumulating ``index_put_``
with atomics. On CUDA that operation sorts and is deterministic; there, the table is read with
``index_select``, whose backward is ``index_add_`` with atomicAdd. Deterministic algorithms select
another kernel for both. A harness that finds no difference here cannot find any.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.scenario import Context, Evaluation, Examples, Training


@dataclass(frozen=True)
class Options:
    rows: int = 64
    indices: int = 200_000  # read per step
    steps: int = 40
    learning_rate: float = 20.0


class Table(nn.Module):
    def __init__(self, rows: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.randn(rows))

    def forward(self, index: Tensor) -> Tensor:
        return self.rows.index_select(0, index) if index.is_cuda else self.rows[index]


@dataclass
class Indexing(Training):
    """Each row learns a hidden number from noisy samples."""

    table: Table
    optimizer: Optimizer
    truth: Tensor
    indices: int
    steps: int
    models: dict[str, nn.Module] = field(init=False)
    optimizers: dict[str, Optimizer] = field(init=False)

    def __post_init__(self) -> None:
        self.models = {"table": self.table}
        self.optimizers = {"optimizer": self.optimizer}

    def batches(self) -> Iterator[Examples]:
        device = self.truth.device
        for _ in range(self.steps):
            index = torch.randint(len(self.truth), (self.indices,), device=device)
            yield Examples(index, self.truth[index] + torch.randn(self.indices, device=device))

    def step(self, batch: Examples) -> Tensor:
        self.optimizer.zero_grad()
        loss = nn.functional.mse_loss(self.table(batch.inputs), batch.targets)
        loss.backward()
        self.optimizer.step()
        return loss

    def evaluate(self) -> Evaluation:
        learned = self.table.rows.detach()
        signs = (learned > 0) == (self.truth > 0)
        return Evaluation(learned.clone(), signs.double().mean().item())


def build(options: Options, context: Context) -> Indexing:
    table = Table(options.rows).to(context.device)
    return Indexing(
        table=table,
        optimizer=torch.optim.SGD(table.parameters(), lr=options.learning_rate),
        truth=torch.randn(options.rows).to(context.device),
        indices=options.indices,
        steps=options.steps,
    )
