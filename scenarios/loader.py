"""A DataLoader with worker processes, shuffling, and augmentation drawn inside the workers.

Each sample carries the numbers that its augmentation drew. The record can therefore report the
order and content of the samples, and how many samples repeated the numbers of another:

* ``rng: global`` draws from the global generators of Python, NumPy and torch, which current torch
  seeds differently in each worker;
* ``rng: owned`` draws from a generator that the dataset owns. Each worker gets a copy of it, so the
  workers repeat each other's numbers and every epoch repeats the previous one;
* ``rng: per_worker`` builds that generator inside each worker, from the worker's own seed.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
import xxhash
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from harness.scenario import Context, Evaluation, Examples, Training, classified, digits, predict

Draws = tuple[float, float, int]  # flip, noise, shift
EPOCH_SEED = 123456789  # the guide's base seed, to which the epoch is added


@dataclass(frozen=True)
class Options:
    rng: Literal["global", "owned", "per_worker"] = "global"
    set_epoch: bool = False  # seed a generator with EPOCH_SEED plus the epoch, each epoch
    workers: int = 2
    samples: int = 512  # per epoch
    epochs: int = 3
    batch_size: int = 16
    width: int = 32
    learning_rate: float = 0.5


class Augmented(Dataset[tuple[Tensor, Tensor, Tensor, Tensor]]):
    """Digits with random flip, noise and shift; items are (image, label, index, draws)."""

    def __init__(self, examples: Examples, rng: str) -> None:
        self.examples = examples
        self.rng = rng
        self.generator = np.random.default_rng(np.random.randint(2**31)) if rng == "owned" else None

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        flip, noise, shift = self.draw()
        image = self.examples.inputs[index].roll(shift, dims=-1)
        image = image.flip(-1) if flip < 0.5 else image
        draws = torch.tensor([flip, noise, shift], dtype=torch.float64)
        return image + 0.1 * noise, self.examples.targets[index], torch.tensor(index), draws

    def draw(self) -> Draws:
        if self.rng == "global":
            return random.random(), float(np.random.normal()), int(torch.randint(-1, 2, ()))
        if self.rng == "per_worker" and self.generator is None:
            self.generator = np.random.default_rng(torch.initial_seed())
        assert self.generator is not None
        own = self.generator
        return own.random(), float(own.normal()), int(own.integers(-1, 2))


@dataclass
class EpochJournal:
    """The samples of one epoch; digested by `facts`, after the training."""

    indices: list[Tensor] = field(default_factory=list)
    images: list[Tensor] = field(default_factory=list)
    draws: list[Tensor] = field(default_factory=list)
    seconds: float = 0.0  # of the whole epoch, including training steps

    def note(self, index: Tensor, images: Tensor, draws: Tensor) -> None:
        """Store copies, because each tensor from a worker keeps shared memory and a file open."""
        self.indices.append(index.clone())
        self.images.append(images.clone())
        self.draws.append(draws.clone())

    def facts(self) -> dict[str, Any]:
        drawn = Counter(tuple(row) for row in torch.cat(self.draws).tolist())
        samples = sum(map(len, self.indices))
        return {
            "order": digest_of(torch.cat(self.indices)),
            "content": digest_of(torch.cat(self.images)),
            "samples": samples,
            "drawn_again": sum(count - 1 for count in drawn.values()),
            "samples_per_s": samples / self.seconds,
        }


def digest_of(tensor: Tensor) -> str:
    return xxhash.xxh3_128_hexdigest(tensor.contiguous().numpy().data)


class Loading(Training):
    """Trains a small classifier, because the scenario studies loading."""

    def __init__(self, options: Options, context: Context) -> None:
        self.options, self.context = options, context
        train, self.held_out = digits(torch.device("cpu"))
        dataset = Augmented(train.at(torch.arange(options.samples)), options.rng)
        self.generator = torch.Generator() if options.set_epoch else context.loader_generator()
        self.loader = DataLoader(
            dataset,
            batch_size=options.batch_size,
            shuffle=True,
            num_workers=options.workers,
            generator=self.generator,
            worker_init_fn=context.worker_init,
        )
        layers = [
            nn.Flatten(),
            nn.Linear(64, options.width),
            nn.ReLU(),
            nn.Linear(options.width, 10),
        ]
        self.model = nn.Sequential(*layers).to(context.device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=options.learning_rate)
        self.models = {"model": self.model}
        self.optimizers = {"optimizer": self.optimizer}
        self.journal: list[EpochJournal] = []

    def batches(self) -> Iterator[Examples]:
        device = self.context.device
        for epoch in range(self.options.epochs):
            if self.options.set_epoch and self.generator is not None:
                self.generator.manual_seed(EPOCH_SEED + epoch)
            entry = EpochJournal()
            self.journal.append(entry)
            began = time.perf_counter()
            for images, labels, index, draws in self.loader:
                entry.note(index, images, draws)
                yield Examples(images.to(device), labels.to(device))
            entry.seconds = time.perf_counter() - began

    def step(self, batch: Examples) -> Tensor:
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(batch.inputs), batch.targets)
        loss.backward()
        self.optimizer.step()
        return loss

    def evaluate(self) -> Evaluation:
        scores = predict(self.model, self.held_out.inputs.to(self.context.device))
        return classified(scores, self.held_out.targets.to(self.context.device))

    def facts(self) -> dict[str, Any]:
        return {"epochs": [entry.facts() for entry in self.journal]}


def build(options: Options, context: Context) -> Loading:
    return Loading(options, context)
