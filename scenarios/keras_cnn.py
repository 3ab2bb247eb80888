"""The Keras versions of cnn.py: the article's single 3×3 convolution and the question's deeper net.

With ``layer_seeds``, every weight initializer and dropout layer gets its own seed, as in the
question.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, repeat
from typing import Any, Literal

import keras
import numpy as np
from keras import layers

from harness.data.digits import Pair, load_digits
from harness.keras_scenario import Array, Context, Examples, Supervised, sequential, set_torch_flags

CLASSES = 10


@dataclass(frozen=True)
class Options:
    variant: Literal["article", "question"] = "article"
    layer_seeds: bool = False
    size: int = 32  # image height and width; digits are enlarged
    filters: int = 5
    hidden: int = 512  # units of the question's dense layer
    batch_size: int = 32
    steps: int = 120
    learning_rate: float = 0.001
    torch_flags: bool = False  # import torch too and set its cuDNN flags


def build(options: Options, context: Context) -> Supervised:  # noqa: ARG001 - device already set
    if options.torch_flags:
        set_torch_flags()
    seeds: Iterator[int | None] = count(1) if options.layer_seeds else repeat(None)
    net = article_net if options.variant == "article" else question_net
    train, held_out = (enlarged(part, options.size) for part in load_digits())
    return Supervised(
        model=sequential((options.size, options.size, 1), net(options, seeds)),
        optimizer=keras.optimizers.Adam(options.learning_rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        train=train,
        held_out=held_out,
        batch_size=options.batch_size,
        steps=options.steps,
    )


def article_net(options: Options, seeds: Iterator[int | None]) -> list[Any]:
    """Convolution, max-pool, dense."""
    return [
        layers.Conv2D(options.filters, 3, activation="relu", kernel_initializer=glorot(seeds)),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(CLASSES, kernel_initializer=glorot(seeds)),
    ]


def question_net(options: Options, seeds: Iterator[int | None]) -> list[Any]:
    """Two convolutions with batch norm and dropout, then a dense layer with both."""
    return [
        layers.Conv2D(options.filters, 3, kernel_initializer=glorot(seeds)),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Conv2D(options.filters, 3, kernel_initializer=glorot(seeds)),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.MaxPooling2D(),
        layers.Dropout(0.25, seed=next(seeds)),
        layers.Flatten(),
        layers.Dense(options.hidden, kernel_initializer=glorot(seeds)),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Dropout(0.5, seed=next(seeds)),
        layers.Dense(CLASSES, kernel_initializer=glorot(seeds)),
    ]


def glorot(seeds: Iterator[int | None]) -> Any:
    return keras.initializers.GlorotUniform(seed=next(seeds))


def enlarged(part: Pair, size: int) -> Examples:
    """Enlarge 8×8 digits to (n, size, size, 1) in [0, 1] by nearest-neighbor interpolation."""
    images, labels = part
    nearest = np.arange(size) * images.shape[1] // size
    larger: Array = images[:, nearest][:, :, nearest, np.newaxis]
    return Examples(larger.astype(np.float32) / 16, labels.astype(np.int64))
