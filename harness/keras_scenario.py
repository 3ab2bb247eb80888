"""The protocol of a Keras scenario, beside harness/scenario.py: the same three lines train it.

::

    training = build(options, context)
    for batch in training.batches():
        loss = training.step(batch)

Keras runs on TensorFlow here, and no torch is imported, unless a scenario's own option asks for
that. Everything random comes from the global generators of Python, NumPy and Keras; whether those
are seeded is the setting's business. What a scenario sets of Keras as a whole, it sets in
``build``: every training begins with a cleared session.
"""

from __future__ import annotations

import importlib
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from tensorflow.python.framework.config import is_op_determinism_enabled

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Context:
    """What the harness hands to a scenario; TensorFlow sees no other device than this one."""

    device: str


@dataclass(frozen=True)
class Evaluation:
    """What the trained model says of held-out data."""

    predictions: Array  # (n,) classes or values
    accuracy: float | None  # share of right predictions, 0 to 1; None where nothing is right


class Training(ABC):
    """One training, built from nothing; it owns all of its state."""

    models: dict[str, Any]  # keras.Model
    optimizers: dict[str, Any]  # keras.optimizers.Optimizer
    gradients: dict[str, Sequence[Any]]  # of the last step, by model, as its trainable variables

    @abstractmethod
    def batches(self) -> Iterator[Any]:
        """Every batch of every epoch."""

    @abstractmethod
    def step(self, batch: Any) -> Any:
        """One forward, backward and optimizer step; the loss, as a tensor."""

    @abstractmethod
    def evaluate(self) -> Evaluation:
        """Runs on held-out data, in inference mode, and changes nothing."""

    def facts(self) -> dict[str, Any]:
        """What is in effect in this process, torch's flags too where it is there."""
        return {
            "op_determinism": is_op_determinism_enabled(),
            "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads(),
            "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads(),
            "torch_flags": _torch_flags(),
        }


@dataclass(frozen=True)
class Examples:
    """Inputs and targets of equal length, in host memory."""

    inputs: Array
    targets: Array


@dataclass
class Supervised(Training):
    """The common case: one model, one optimizer, shuffled mini-batches from memory."""

    model: Any
    optimizer: Any
    loss: Callable[[Any, Any], Any]
    train: Examples
    held_out: Examples
    batch_size: int
    steps: int
    models: dict[str, Any] = field(init=False)
    optimizers: dict[str, Any] = field(init=False)
    gradients: dict[str, Sequence[Any]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.models = {"model": self.model}
        self.optimizers = {"optimizer": self.optimizer}
        self.optimizer.build(self.model.trainable_variables)
        self.compiled = tf.function(self.eager_step)

    def batches(self) -> Iterator[Examples]:
        """Full batches of random orders, drawn from NumPy's global generator."""
        size, count = self.batch_size, len(self.train.inputs)
        if size > count:
            raise ValueError(f"batch_size={size}: there are only {count} examples")
        taken = 0
        while True:
            order = np.random.permutation(count)
            for start in range(0, count - size + 1, size):
                if taken == self.steps:
                    return
                taken += 1
                index = order[start : start + size]
                yield Examples(self.train.inputs[index], self.train.targets[index])

    def step(self, batch: Examples) -> Any:
        loss, self.gradients["model"] = self.compiled(batch.inputs, batch.targets)
        return loss

    def eager_step(self, inputs: Any, targets: Any) -> tuple[Any, list[Any]]:
        with tf.GradientTape() as tape:
            loss = self.loss(targets, self.model(inputs, training=True))
        variables = self.model.trainable_variables
        gradients = tape.gradient(loss, variables)
        self.optimizer.apply(gradients, variables)
        return loss, gradients

    def evaluate(self) -> Evaluation:
        outputs = np.asarray(self.model(self.held_out.inputs, training=False))
        if outputs.shape[1] == 1:
            return Evaluation(outputs.ravel(), None)
        predicted = outputs.argmax(axis=1)
        return Evaluation(predicted, float((predicted == self.held_out.targets).mean()))


def sequential(shape: tuple[int, ...], layers: Sequence[Any]) -> Any:
    return keras.Sequential([keras.layers.Input(shape), *layers])


def set_torch_flags() -> None:
    """Imports torch beside TensorFlow and sets the two flags that were said to act on Keras too.

    By name, so that a test on imports can show that nothing else here reaches torch.
    """
    flags = importlib.import_module("torch").backends.cudnn
    flags.deterministic = True
    flags.benchmark = False


def _torch_flags() -> dict[str, bool] | None:
    """As they are in effect; None where this process has no torch."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    flags = torch.backends.cudnn
    return {"cudnn.deterministic": flags.deterministic, "cudnn.benchmark": flags.benchmark}
