"""One training on random splits of the same data: how much of a result is the split?

``vary: split`` draws the split from the operating system's randomness, whatever the setting seeds;
``noise=algorithm`` varies the seed and ``noise=implementation`` the machine, so that the three
stand side by side. With ``folds`` the data are cut into as many parts, a net is trained for each on
the others, one after the other, and the accuracy is that of all parts together: cross-validation.
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
    folds: int = 1  # 1: a single split that holds ``held_out`` examples out
    held_out: int = 300
    width: int = 32
    batch_size: int = 32
    steps: int = 120  # of each net
    learning_rate: float = 0.2


class Split(Training):
    """One net for each part that is held out, trained in turn; a batch comes with its net's name.

    Tells, beside its training, what the guides say of splitting and of NumPy's generators.
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

    def batches(self) -> Iterator[tuple[str, Examples]]:
        for name, net in self.nets.items():
            for batch in net.batches():
                yield name, batch

    def step(self, batch: tuple[str, Examples]) -> Tensor:
        name, examples = batch
        return self.nets[name].step(examples)

    def evaluate(self) -> Evaluation:
        scores = [predict(net.model, net.held_out.inputs) for net in self.nets.values()]
        targets = [net.held_out.targets for net in self.nets.values()]
        return classified(torch.cat(scores), torch.cat(targets))

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
    """A permutation as scikit-learn's splitters draw it from a fixed random_state, or from none."""
    return RandomState(seed).permutation(examples)


def parts_of(
    order: np.ndarray[Any, np.dtype[np.int64]], options: Options
) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
    """The indices that each net does not see. Raises ValueError where a net would see nothing."""
    if not 1 <= options.folds <= len(order) // 2:
        raise ValueError(f"folds={options.folds}: 1 to {len(order) // 2} are possible")
    if not 1 <= options.held_out < len(order):
        raise ValueError(f"held_out={options.held_out}: 1 to {len(order) - 1} are possible")
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
    """Whether making a RandomState, as the guide's listing does, changes the global generator."""
    before = np.random.get_state(legacy=False)
    RandomState(MT19937(SeedSequence(123456789)))
    after = np.random.get_state(legacy=False)
    return bool((before["state"]["key"] != after["state"]["key"]).any())


def build(options: Options, context: Context) -> Split:
    return Split(options, context)
