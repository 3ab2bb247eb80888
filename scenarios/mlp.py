"""Two dense layers under RMSprop: the smallest training in the article.

With ``data: random``, inputs and targets are drawn from NumPy's global generator, as in the
article, so unseeded runs also differ in their data. With ``data: digits``, the net is a classifier.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from harness.scenario import Context, Examples, Supervised, digits


@dataclass(frozen=True)
class Options:
    data: Literal["random", "digits"] = "random"
    inputs: int = 10  # features of the random data; the digits have 64
    width: int = 8
    depth: int = 1  # hidden layers
    batch_size: int = 10
    steps: int = 200
    learning_rate: float = 0.01


def build(options: Options, context: Context) -> Supervised:
    loss: Callable[[Tensor, Tensor], Tensor]
    if options.data == "digits":
        train, held_out = digits(context.device)
        inputs, outputs, loss = 64, 10, nn.functional.cross_entropy
    else:
        inputs, outputs, loss = options.inputs, 1, nn.functional.mse_loss
        train, held_out = random_examples(1000, inputs), random_examples(200, inputs)
    model = dense(inputs, options.width, options.depth, outputs).to(context.device)
    return Supervised(
        model=model,
        optimizer=torch.optim.RMSprop(model.parameters(), lr=options.learning_rate),
        loss=loss,
        train=Examples(train.inputs.to(context.device), train.targets.to(context.device)),
        held_out=Examples(held_out.inputs.to(context.device), held_out.targets.to(context.device)),
        batch_size=options.batch_size,
        steps=options.steps,
    )


def dense(inputs: int, width: int, depth: int, outputs: int) -> nn.Sequential:
    """Build dense layers without activations, as in the article."""
    sizes = [inputs] + [width] * depth + [outputs]
    layers = [nn.Linear(a, b) for a, b in pairwise(sizes)]
    return nn.Sequential(nn.Flatten(), *layers)


def random_examples(count: int, features: int) -> Examples:
    inputs = np.random.normal(size=(count, features)).astype(np.float32)
    targets = np.random.normal(size=(count, 1)).astype(np.float32)
    return Examples(torch.from_numpy(inputs), torch.from_numpy(targets))
