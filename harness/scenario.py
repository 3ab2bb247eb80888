"""The protocol of a scenario: one small, complete training job.

A scenario is one file with two names in it::

    @dataclass(frozen=True)
    class Options: ...                                   # what Hydra may set, typed
    def build(options: Options, context: Context) -> Training: ...

The harness trains it by three lines, timed or watched from outside, never from inside::

    training = build(options, context)
    for batch in training.batches():
        loss = training.step(batch)

``step`` clears gradients at its beginning, so that after it everything that a step makes (batch,
buffers, loss, gradients, parameters, optimizer state) can still be read. Everything random comes
from the global generators of Python, NumPy and torch, as in the scripts of ordinary people: whether
those are seeded is the setting's business, not the scenario's.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from harness.data.digits import load_digits


def _do_nothing() -> None:
    """What a context without a setting does in a child: nothing."""


@dataclass(frozen=True)
class Context:
    """What the harness hands to a scenario.

    ``loader_generator`` is a fresh seeded generator for each call, or None where the setting does
    not seed loaders; ``worker_init`` likewise is a DataLoader's ``worker_init_fn`` or None.
    ``in_child`` applies the setting in a process that the scenario starts itself; it is picklable.
    """

    device: torch.device
    loader_generator: Callable[[], torch.Generator | None] = lambda: None
    worker_init: Callable[[int], None] | None = None
    in_child: Callable[[], None] = _do_nothing


@dataclass(frozen=True)
class Evaluation:
    """What the trained model says of held-out data."""

    predictions: Tensor  # (n,) classes or values
    accuracy: (
        float | None
    )  # share of right predictions, 0 to 1; None where nothing is right or wrong


class Training(ABC):
    """One training, built from nothing; it owns all of its state."""

    models: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]

    @abstractmethod
    def batches(self) -> Iterator[Any]:
        """Every batch of every epoch; what belongs to an epoch's end happens in here."""

    @abstractmethod
    def step(self, batch: Any) -> Tensor:
        """One forward, backward and optimizer step; the loss or losses, float32, as they come."""

    @abstractmethod
    def evaluate(self) -> Evaluation:
        """Runs on held-out data, in eval mode, without gradients."""

    def facts(self) -> dict[str, Any]:
        """What this scenario alone can tell of its training: JSON values for the record."""
        return {}


@dataclass(slots=True)
class Examples:
    """Inputs and targets of equal length, on one device."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def at(self, index: Tensor) -> Examples:
        return Examples(self.inputs[index], self.targets[index])


@dataclass
class Supervised(Training):
    """The common case: one model, one optimizer, shuffled mini-batches from memory."""

    model: nn.Module
    optimizer: Optimizer
    loss: Callable[[Tensor, Tensor], Tensor]
    train: Examples
    held_out: Examples
    batch_size: int
    steps: int
    scheduler: LRScheduler | None = None  # stepped at the end of each epoch
    models: dict[str, nn.Module] = field(init=False)
    optimizers: dict[str, Optimizer] = field(init=False)

    def __post_init__(self) -> None:
        self.models = {"model": self.model}
        self.optimizers = {"optimizer": self.optimizer}

    def batches(self) -> Iterator[Examples]:
        taken = 0
        while True:
            for index in shuffled(len(self.train), self.batch_size, self.train.inputs.device):
                if taken == self.steps:
                    return
                taken += 1
                yield self.train.at(index)
            if self.scheduler is not None:
                self.scheduler.step()

    def step(self, batch: Examples) -> Tensor:
        self.optimizer.zero_grad()
        loss = self.loss(self.model(batch.inputs), batch.targets)
        loss.backward()
        self.optimizer.step()
        return loss

    def evaluate(self) -> Evaluation:
        predicted = predict(self.model, self.held_out.inputs)
        if predicted.ndim == 1 or predicted.shape[1] == 1:
            return Evaluation(predicted.flatten(), None)
        return classified(predicted, self.held_out.targets)


def shuffled(examples: int, batch_size: int, device: torch.device) -> list[Tensor]:
    """Full batches of a random order, drawn on the CPU from torch's global generator.

    Raises ValueError where not even one batch can be filled.
    """
    if batch_size > examples:
        raise ValueError(f"batch_size={batch_size}: there are only {examples} examples")
    order = torch.randperm(examples)[: examples // batch_size * batch_size]
    return list(order.to(device).split(batch_size))


def predict(model: nn.Module, inputs: Tensor) -> Tensor:
    model.eval()
    with torch.no_grad():
        output: Tensor = model(inputs)
    model.train()
    return output


def classified(scores: Tensor, targets: Tensor) -> Evaluation:
    """``scores`` (n, classes) against ``targets`` (n,)."""
    predictions = scores.argmax(dim=1)
    return Evaluation(predictions, (predictions == targets).double().mean().item())


def digits(device: torch.device) -> tuple[Examples, Examples]:
    """The UCI handwritten digits, (n, 1, 8, 8) in 0..1, as training and held-out examples."""
    train, held_out = (
        Examples(
            torch.from_numpy(images).to(device, torch.float32).div(16).unsqueeze(1),
            torch.from_numpy(labels).to(device, torch.int64),
        )
        for images, labels in load_digits()
    )
    return train, held_out
