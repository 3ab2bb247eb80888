"""The scenario protocol: the interface between the harness and a training job.

A scenario consists of a YAML file with its options, in the ``scenario`` folder of a Hydra config
directory, and a Python file beside it. For example, ``mine/scenario/wide.yaml``::

    # A wide net on the digits.
    name: wide  # wide.py
    uses_loader: false  # builds no DataLoader; starts_processes: true if it trains in several
    width: 128

and ``mine/scenario/wide.py``::

    from dataclasses import dataclass

    import torch

    from harness.scenario import Context, Supervised, digits


    @dataclass(frozen=True)
    class Options:
        width: int = 128


    def build(options: Options, context: Context) -> Supervised:
        train, held_out = digits(context.device)
        model = torch.nn.Sequential(
            torch.nn.Flatten(),
            torch.nn.Linear(64, options.width),
            torch.nn.ReLU(),
            torch.nn.Linear(options.width, 10),
        ).to(context.device)
        return Supervised(
            model=model,
            optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
            loss=torch.nn.functional.cross_entropy,
            train=train,
            held_out=held_out,
            batch_size=32,
            steps=40,
        )

Run it with::

    python -m harness --config-dir mine scenario=wide determinism=full

``Options`` declares every option with its type; a ValueError from its ``__post_init__`` is reported
as an invalid option. ``build`` returns a `Supervised` or any other `Training`. Every run trains it
with the same three lines, which the harness times or traces from outside::

    training = build(options, context)
    for batch in training.batches():
        loss = training.step(batch)

Draw random numbers from the global generators of Python, NumPy and torch, as an ordinary script
does, and do not seed them: the determinism setting decides whether they are seeded.
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
    """The default ``Context.in_child``; a function because a lambda cannot be pickled."""


@dataclass(frozen=True)
class Context:
    """What ``build`` needs to know about the run.

    Attributes:
        device: The device to train on.
        loader_generator: Returns a new seeded generator for a DataLoader's ``generator``, or None
            if the determinism setting does not seed loaders.
        worker_init: The ``worker_init_fn`` for a DataLoader, or None.
        in_child: Applies the determinism setting. Picklable; call it first in every process that
            the scenario starts itself.
    """

    device: torch.device
    loader_generator: Callable[[], torch.Generator | None] = lambda: None
    worker_init: Callable[[int], None] | None = None
    in_child: Callable[[], None] = _do_nothing


@dataclass(frozen=True)
class Evaluation:
    """Predictions of the trained model on held-out data.

    Attributes:
        predictions: Shape (n,): integer classes or floating-point values.
        accuracy: Fraction of correct predictions, 0 to 1; None if undefined, as in regression.
    """

    predictions: Tensor
    accuracy: float | None


class Training(ABC):
    """One training with all of its state.

    Each call of ``build`` must return an independent instance, because a run may train several
    times in one process. To resume from a step, `diagnose` and `replay` save and restore models,
    optimizers, other attributes with a ``state_dict`` (such as a scheduler), and attributes that
    hold only numbers, strings, None and containers of these.

    Attributes:
        models: Modules by name; their parameters, gradients and buffers are digested.
        optimizers: Optimizers by name; their state is digested.
    """

    models: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]

    @abstractmethod
    def batches(self) -> Iterator[Any]:
        """Iterate over the batches of all epochs.

        Work at the end of an epoch, such as ``scheduler.step()``, belongs here. A batch may nest
        mappings, sequences and dataclasses; its tensors, NumPy arrays and numbers are digested.
        """

    @abstractmethod
    def step(self, batch: Any) -> Tensor:
        """Run one forward, backward and optimizer step.

        Clear the gradients at the beginning, not at the end: the harness reads them, like the
        batch, buffers, parameters and optimizer state, after the step.

        Returns:
            The loss, or one loss for each model: a floating-point tensor of any shape. It need not
            be detached.
        """

    @abstractmethod
    def evaluate(self) -> Evaluation:
        """Predict held-out data in eval mode and without gradients. Called once, at the end."""

    def facts(self) -> dict[str, Any]:
        """Return further results of this scenario for the run record, as JSON values."""
        return {}


@dataclass(slots=True)
class Examples:
    """Inputs of shape (n, ...) and targets of shape (n, ...), on one device."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def at(self, index: Tensor) -> Examples:
        """Return the examples at ``index``, int64 of shape (k,), as a copy."""
        return Examples(self.inputs[index], self.targets[index])


@dataclass
class Supervised(Training):
    """One model and one optimizer, trained on shuffled mini-batches of in-memory data.

    `batches` raises ValueError if ``batch_size`` exceeds the number of training examples.

    Attributes:
        model: Maps inputs to outputs: (n, classes) scores, or (n,) or (n, 1) values.
        optimizer: Optimizer of the model's parameters.
        loss: Called with outputs and targets; returns a scalar.
        train: Training examples, on the model's device.
        held_out: Examples for `evaluate`, on the model's device.
        batch_size: Examples per step; an incomplete last batch of an epoch is dropped.
        steps: Number of steps, over as many epochs as they take.
        scheduler: Stepped at the end of each epoch.
    """

    model: nn.Module
    optimizer: Optimizer
    loss: Callable[[Tensor, Tensor], Tensor]
    train: Examples
    held_out: Examples
    batch_size: int
    steps: int
    scheduler: LRScheduler | None = None
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
    """Return the indices of one epoch's full batches in random order.

    Each batch is int64 of shape (batch_size,) on ``device``. The order is drawn on the CPU from
    torch's global generator, so it is the same on every device. Raises ValueError if
    ``batch_size`` exceeds ``examples``, the number of examples.
    """
    if batch_size > examples:
        raise ValueError(
            f"batch_size={batch_size}: must not exceed the number of examples, {examples}"
        )
    order = torch.randperm(examples)[: examples // batch_size * batch_size]
    return list(order.to(device).split(batch_size))


def predict(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return the model's outputs in eval mode, without gradients; leaves it in training mode."""
    model.eval()
    with torch.no_grad():
        output: Tensor = model(inputs)
    model.train()
    return output


def classified(scores: Tensor, targets: Tensor) -> Evaluation:
    """Evaluate ``scores`` of shape (n, classes) against ``targets``, int64 of shape (n,)."""
    predictions = scores.argmax(dim=1)
    return Evaluation(predictions, (predictions == targets).double().mean().item())


def digits(device: torch.device) -> tuple[Examples, Examples]:
    """Load the UCI handwritten digits: 1437 training and 360 held-out examples.

    Inputs are float32 of shape (n, 1, 8, 8) in [0, 1]; targets are int64 of shape (n,) in 0..9.
    """
    train, held_out = (
        Examples(
            torch.from_numpy(images).to(device, torch.float32).div(16).unsqueeze(1),
            torch.from_numpy(labels).to(device, torch.int64),
        )
        for images, labels in load_digits()
    )
    return train, held_out
