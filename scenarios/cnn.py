"""Two convolutional nets: the article's single 3×3 convolution and the question's deeper net.

The article found that the first net stops being reproducible on a GPU. The question asked why the
second net was never reproducible.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.scenario import Context, Examples, Supervised, digits

RANDOM_IMAGES = 512


@dataclass(frozen=True)
class Options:
    variant: Literal["article", "question"] = "article"
    data: Literal["random", "digits"] = "digits"
    size: int = 32  # image height and width; digits are enlarged
    filters: int = 5
    hidden: int = 512  # units of the question's dense layer
    batch_size: int = 32
    steps: int = 120
    learning_rate: float = 0.001


class ArticleNet(nn.Module):
    """Convolution, max-pool, linear."""

    def __init__(self, size: int, filters: int, classes: int = 10) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, filters, kernel_size=3)
        self.fc = nn.Linear(filters * ((size - 2) // 2) ** 2, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv(x)), 2)
        return self.fc(x.flatten(1))  # type: ignore[no-any-return]


def question_net(size: int, filters: int, hidden: int, classes: int = 10) -> nn.Sequential:
    """Two convolutions with batch norm and dropout, then a dense layer with both."""
    features = filters * ((size - 4) // 2) ** 2
    return nn.Sequential(
        nn.Conv2d(1, filters, 3),
        nn.BatchNorm2d(filters),
        nn.ReLU(),
        nn.Conv2d(filters, filters, 3),
        nn.BatchNorm2d(filters),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(features, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(hidden, classes),
    )


def build(options: Options, context: Context) -> Supervised:
    model: nn.Module
    if options.variant == "article":
        model = ArticleNet(options.size, options.filters)
    else:
        model = question_net(options.size, options.filters, options.hidden)
    model.to(context.device)
    train, held_out = images(options, context.device)
    return Supervised(
        model=model,
        optimizer=torch.optim.Adam(model.parameters(), lr=options.learning_rate),
        loss=F.cross_entropy,
        train=train,
        held_out=held_out,
        batch_size=options.batch_size,
        steps=options.steps,
    )


def images(options: Options, device: torch.device) -> tuple[Examples, Examples]:
    if options.data == "random":
        train, held_out = random_images(options.size), random_images(options.size)
    else:
        train, held_out = (
            Examples(F.interpolate(part.inputs, size=options.size), part.targets)
            for part in digits(torch.device("cpu"))
        )
    return (
        Examples(train.inputs.to(device), train.targets.to(device)),
        Examples(held_out.inputs.to(device), held_out.targets.to(device)),
    )


def random_images(size: int) -> Examples:
    inputs = torch.randn(RANDOM_IMAGES, 1, size, size)
    return Examples(inputs, torch.randint(10, (RANDOM_IMAGES,)))
