"""Online augmentation and dropout, two common sources of randomness, each on its own.

Every image is flipped with probability 1/2 and shifted by up to one pixel each time it is used.
Augmentation and dropout draw from torch's global generator, without worker processes, so a seed is
enough to make them reproducible.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.scenario import Context, Examples, Supervised, digits

SHIFT = 1  # maximum in pixels, in each direction


@dataclass(frozen=True)
class Options:
    augment: bool = True
    dropout: float = 0.0  # 0 is off
    width: int = 64
    batch_size: int = 32
    steps: int = 80
    learning_rate: float = 0.003
    own_seed: int | None = None  # seeds weights and order, so that only the rest is random

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout}: must be at least 0 and less than 1")


@dataclass
class Augmented(Supervised):
    """Augments each batch in `batches`, so that the batch digest covers the augmentation."""

    augment: bool = True
    own_seed: int | None = None

    def batches(self) -> Iterator[Examples]:
        for batch in self._plain_batches():
            yield augmented(batch) if self.augment else batch

    def _plain_batches(self) -> Iterable[Examples]:
        if self.own_seed is None:
            return super().batches()
        with seeded(self.own_seed):
            return list(super().batches())


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generator inside, and leave it as it was outside."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def augmented(batch: Examples) -> Examples:
    return Examples(shifted(flipped(batch.inputs)), batch.targets)


def flipped(images: Tensor) -> Tensor:
    """Mirror about half of the images (n, 1, h, w) left to right."""
    mirrored = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
    return torch.where(mirrored, images.flip(-1), images)


def shifted(images: Tensor) -> Tensor:
    """Roll each image (n, 1, h, w) by its own number of rows and columns, with wraparound."""
    count, _, height, width = images.shape
    down, right = torch.randint(-SHIFT, SHIFT + 1, (2, count, 1), device=images.device)
    rows = (torch.arange(height, device=images.device) - down) % height
    columns = (torch.arange(width, device=images.device) - right) % width
    each = torch.arange(count, device=images.device)
    return images[each[:, None, None], :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def build(options: Options, context: Context) -> Augmented:
    with nullcontext() if options.own_seed is None else seeded(options.own_seed):
        model = nn.Sequential(
            nn.Flatten(),
            nn.Linear(64, options.width),
            nn.ReLU(),
            nn.Dropout(options.dropout),
            nn.Linear(options.width, 10),
        ).to(context.device)
    train, held_out = digits(context.device)
    return Augmented(
        model=model,
        optimizer=torch.optim.Adam(model.parameters(), lr=options.learning_rate),
        loss=F.cross_entropy,
        train=train,
        held_out=held_out,
        batch_size=options.batch_size,
        steps=options.steps,
        augment=options.augment,
        own_seed=options.own_seed,
    )
