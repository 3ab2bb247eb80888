"""Trainings on random splits of the same data: how much of a result depends on the split?

``vary: split`` draws the split from the operating system's randomness, whatever the setting seeds.
``noise=algorithm`` varies the seed and ``noise=implementation`` the machine, so the three can be
compared. With ``folds``, the data are divided into that many parts and one net per part is trained
on the other parts, one after the other. The accuracy is over all parts: cross-validation.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.random import MT19937, RandomState, SeedSequence
from torch import Tensor, nn
from torch.nn import functional as F

from harness.scenario import (
    Context,
    Evaluation,
    Examples,
    Supervised,
    Training,
    classified,
    digits,
    predict,
)


@dataclass(frozen=True)
class Options:
    vary: Literal["nothing", "split"] = "nothing"
    split_seed: int = 0
    folds: int = 1  # 1: a single split with ``held_out`` held-out examples
    held_out: int = 300
    evaluated: int = 0  # of each net's held-out examples; 0: all
    width: int = 32
    batch_size: int = 32
    steps: int = 120  # for each net
    learning_rate: float = 0.2


class Split(Training):
    """Trains one net for each held-out part in turn; a batch includes its net's name.

    `facts` reports on what the guides say about splitting and about NumPy's generators.
    """

    def __init__(self, options: Options, context: Context) -> None:
        seed = secrets.randbits(31) if options.vary == "split" else options.split_seed
        every = all_digits(context.device)
        parts = parts_of(split_of(len(every), seed), options)
        self.nets = {
            f"part{number}": net_of(every, held_out, options)
            for number, held_out in enumerate(parts)
        }
        self.models = {name: net.model for name, net in self.nets.items()}
        self.optimizers = {name: net.optimizer for name, net in self.nets.items()}
        self.has_own_examples = options.vary == "split"
        self.evaluated = options.evaluated or len(every)

    def batches(self) -> Iterator[tuple[str, Examples]]:
        for name, net in self.nets.items():
            for batch in net.batches():
                yield name, batch

    def step(self, batch: tuple[str, Examples]) -> Tensor:
        name, examples = batch
        return self.nets[name].step(examples)

    def evaluate(self) -> Evaluation:
        """Predictions on other examples in every run answer no common question: they are given as
        the largest score of each, a real number, which counts in no churn.
        """
        judged = slice(self.evaluated)
        scores = torch.cat(
            [predict(net.model, net.held_out.inputs[judged]) for net in self.nets.values()]
        )
        targets = torch.cat([net.held_out.targets[judged] for net in self.nets.values()])
        evaluation = classified(scores, targets)
        if not self.has_own_examples:
            return evaluation
        return Evaluation(scores.max(1).values, evaluation.accuracy)

    def facts(self) -> dict[str, Any]:
        return {
            "split_again_equal": bool((split_of(100, 7) == split_of(100, 7)).all()),
            "unseeded_split_again_equal": bool((split_of(100) == split_of(100)).all()),
            "randomstate_seeds_global": is_global_seeded_by_randomstate(),
        }


def all_digits(device: torch.device) -> Examples:
    train, rest = digits(device)
    return Examples(
        torch.cat([train.inputs, rest.inputs]), torch.cat([train.targets, rest.targets])
    )


def split_of(examples: int, seed: int | None = None) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Draw a permutation as scikit-learn's splitters do with ``random_state=seed``."""
    return RandomState(seed).permutation(examples)


def parts_of(
    order: np.ndarray[Any, np.dtype[np.int64]], options: Options
) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
    """Return the held-out indices of each net. Raises ValueError if a net would have no data."""
    if not 1 <= options.folds <= len(order) // 2:
        raise ValueError(f"folds={options.folds}: must be from 1 to {len(order) // 2}")
    if not 1 <= options.held_out < len(order):
        raise ValueError(f"held_out={options.held_out}: must be from 1 to {len(order) - 1}")
    if options.folds == 1:
        return [order[: options.held_out]]
    return np.array_split(order, options.folds)


def net_of(
    every: Examples, held_out: np.ndarray[Any, np.dtype[np.int64]], options: Options
) -> Supervised:
    device = every.inputs.device
    is_held_out = torch.zeros(len(every), dtype=torch.bool)
    is_held_out[torch.from_numpy(held_out)] = True
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, options.width), nn.ReLU(), nn.Linear(options.width, 10)
    ).to(device)
    return Supervised(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=options.learning_rate),
        loss=F.cross_entropy,
        train=every.at((~is_held_out).nonzero().flatten().to(device)),
        held_out=every.at(is_held_out.nonzero().flatten().to(device)),
        batch_size=options.batch_size,
        steps=options.steps,
    )


def is_global_seeded_by_randomstate() -> bool:
    """Whether creating a RandomState, as in the guide's listing, changes the global generator."""
    before = np.random.get_state(legacy=False)
    RandomState(MT19937(SeedSequence(123456789)))
    after = np.random.get_state(legacy=False)
    return bool((before["state"]["key"] != after["state"]["key"]).any())


def build(options: Options, context: Context) -> Split:
    return Split(options, context)
