"""The article's dense net in Keras: Dense(8), Dense(1), RMSprop, mean squared error.

The data are 1000 rows of random numbers from NumPy's global generator; see mlp.py for torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np

from harness.keras_scenario import Context, Examples, Supervised, sequential, set_torch_flags


@dataclass(frozen=True)
class Options:
    inputs: int = 10  # features
    width: int = 8
    batch_size: int = 10
    steps: int = 200
    learning_rate: float = 0.01
    torch_flags: bool = False  # import torch too and set its cuDNN flags


def build(options: Options, context: Context) -> Supervised:  # noqa: ARG001 - device already set
    if options.torch_flags:
        set_torch_flags()
    train, held_out = (random_examples(count, options.inputs) for count in (1000, 200))
    layers = [keras.layers.Dense(options.width), keras.layers.Dense(1)]
    return Supervised(
        model=sequential((options.inputs,), layers),
        optimizer=keras.optimizers.RMSprop(options.learning_rate),
        loss=keras.losses.MeanSquaredError(),
        train=train,
        held_out=held_out,
        batch_size=options.batch_size,
        steps=options.steps,
    )


def random_examples(count: int, features: int) -> Examples:
    inputs = np.random.normal(size=(count, features)).astype(np.float32)
    return Examples(inputs, np.random.normal(size=(count, 1)).astype(np.float32))
