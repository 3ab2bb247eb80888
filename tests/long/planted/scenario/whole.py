"""A training whose next step depends on every part of its state."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from harness.scenario import Context, Examples, Supervised, digits

STEPS = 6


@dataclass(frozen=True)
class Options:
    pass


@dataclass
class Whole(Supervised):
    taken: int = 0

    def batches(self) -> Iterator[Examples]:
        for batch in super().batches():
            batch.inputs = batch.inputs * (1 + 0.1 * np.random.rand()) + 0.1 * random.random()
            yield batch

    def step(self, batch):
        self.taken += 1
        self.optimizer.zero_grad()
        loss = self.loss(self.model(batch.inputs), batch.targets) / self.taken
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.scheduler.step()
        return loss


def build(options: Options, context: Context) -> Whole:
    train, held_out = digits(context.device)
    layers = [nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.Dropout(), nn.Linear(16, 10)]
    model = nn.Sequential(*layers)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    training = Whole(
        model=model,
        optimizer=optimizer,
        loss=nn.functional.cross_entropy,
        train=train,
        held_out=held_out,
        batch_size=32,
        steps=STEPS,
    )
    training.scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 3, 5])
    training.scaler = torch.amp.GradScaler("cpu", 3.0, growth_factor=1.7, growth_interval=1)
    training.scaler.scale(torch.zeros(1))
    return training
