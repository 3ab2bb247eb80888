"""The scenario protocol for Keras on TensorFlow; see harness/scenario.py for a complete example.

The YAML file of a Keras scenario contains ``framework: keras``, and its Python file imports from
this module. Every run trains it with the same three lines as a torch scenario::

    training = build(options, context)
    for batch in training.batches():
        loss = training.step(batch)

Draw random numbers from the global generators of Python, NumPy and Keras and do not seed them: the
determinism setting decides whether they are seeded. Set global Keras options in ``build``: every
training starts with ``keras.utils.clear_session()``. No torch is imported unless the scenario
imports it.
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
    """What ``build`` needs to know about the run.

    Attributes:
        device: ``cpu``, ``cuda`` or ``cuda:N``. It is the only device visible to TensorFlow.
    """

    device: str


@dataclass(frozen=True)
class Evaluation:
    """Predictions of the trained model on held-out data.

    Attributes:
        predictions: Shape (n,): integer classes or floating-point values.
        accuracy: Fraction of correct predictions, 0 to 1; None if undefined, as in regression.
    """

    predictions: Array
    accuracy: float | None


class Training(ABC):
    """One training with all of its state. Each call of ``build`` must return a new one.

    Attributes:
        models: Each a ``keras.Model``; their variables are digested.
        optimizers: Each a ``keras.optimizers.Optimizer``; their variables are digested.
        gradients: Gradients of the last step by model name, in the order of the model's
            ``trainable_variables``.
    """

    models: dict[str, Any]
    optimizers: dict[str, Any]
    gradients: dict[str, Sequence[Any]]

    @abstractmethod
    def batches(self) -> Iterator[Any]:
        """Iterate over the batches of all epochs.

        A batch may nest mappings, sequences and dataclasses; its tensors, NumPy arrays and numbers
        are digested.
        """

    @abstractmethod
    def step(self, batch: Any) -> Any:
        """Run one forward, backward and optimizer step, and store its ``gradients``.

        Returns:
            The loss, or one loss for each model: a floating-point tensor of any shape.
        """

    @abstractmethod
    def evaluate(self) -> Evaluation:
        """Predict held-out data in inference mode. Must not change any state."""

    def facts(self) -> dict[str, Any]:
        """Return results for the run record, as JSON values: by default, effective settings."""
        return {
            "op_determinism": is_op_determinism_enabled(),
            "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads(),
            "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads(),
            "torch_flags": _torch_flags(),
        }


@dataclass(frozen=True)
class Examples:
    """Inputs of shape (n, ...) and targets of shape (n, ...), in host memory."""

    inputs: Array
    targets: Array


@dataclass
class Supervised(Training):
    """One model and one optimizer, trained on shuffled mini-batches of in-memory data.

    Attributes:
        model: A ``keras.Model`` that returns (n, classes) scores or (n, 1) values.
        optimizer: Optimizer of the model's trainable variables.
        loss: Called with targets and outputs; returns a scalar.
        train: Training examples.
        held_out: Examples for `evaluate`.
        batch_size: Examples per step; an incomplete last batch of an epoch is dropped.
        steps: Number of steps, over as many epochs as they take.
    """

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
        """Iterate over full batches in random order, drawn from NumPy's global generator.

        Raises ValueError if ``batch_size`` exceeds the number of training examples.
        """
        size, count = self.batch_size, len(self.train.inputs)
        if size > count:
            raise ValueError(f"batch_size={size}: must not exceed the number of examples, {count}")
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
        """Return the loss and the gradients; `step` calls it as a ``tf.function``."""
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
    """Build a ``keras.Sequential`` for inputs of ``shape``, without the batch dimension."""
    return keras.Sequential([keras.layers.Input(shape), *layers])


def set_torch_flags() -> None:
    """Import torch and set the two cuDNN flags that are said to affect Keras too.

    Imports torch by name, so that the test of import rules can show that nothing else here does.
    """
    flags = importlib.import_module("torch").backends.cudnn
    flags.deterministic = True
    flags.benchmark = False


def _torch_flags() -> dict[str, bool] | None:
    """The effective cuDNN flags of torch, or None if torch is not loaded."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    flags = torch.backends.cudnn
    return {"cudnn.deterministic": flags.deterministic, "cudnn.benchmark": flags.benchmark}
