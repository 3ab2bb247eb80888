"""One training on random splits of the same data: how much of a result is the split?

``vary: split`` draws the split, and ``vary: seed`` the weights and the order of the batches, from
the operating system's randomness, whatever the setting seeds; the other stays as it was. So the two
sources, and the machine's own noise (``vary: nothing``), stand side by side.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.random import MT19937, RandomState, SeedSequence
from torch import nn
from torch.nn import functional as F

from scenarios.base import Context, Examples, Supervised, digits


@dataclass(frozen=True)
class Options:
    vary: Literal["nothing", "split", "seed"] = "nothing"
    split_seed: int = 0
    held_out: int = 300
    width: int = 32
    batch_size: int = 32
    steps: int = 120
    learning_rate: float = 0.2


class Split(Supervised):
    """Tells, beside its training, what the guides say of splitting and of NumPy's generators."""

    def facts(self) -> dict[str, Any]:
        return {
            "split_again_equal": bool((split_of(100, 7) == split_of(100, 7)).all()),
            "randomstate_seeds_global": is_global_seeded_by_randomstate(),
        }


def split_of(examples: int, seed: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """A permutation as scikit-learn's splitters draw it from a fixed random_state."""
    return RandomState(seed).permutation(examples)


def is_global_seeded_by_randomstate() -> bool:
    """Whether making a RandomState, as the guide's listing does, changes the global generator."""
    before = np.random.get_state(legacy=False)
    RandomState(MT19937(SeedSequence(123456789)))
    after = np.random.get_state(legacy=False)
    return bool((before["state"]["key"] != after["state"]["key"]).any())


def build(options: Options, context: Context) -> Split:
    seed = secrets.randbits(31) if options.vary == "split" else options.split_seed
    if options.vary == "seed":
        torch.manual_seed(secrets.randbits(31))
    train, rest = digits(torch.device("cpu"))
    inputs = torch.cat([train.inputs, rest.inputs]).to(context.device)
    targets = torch.cat([train.targets, rest.targets]).to(context.device)
    order = torch.from_numpy(split_of(len(inputs), seed)).to(context.device)
    every = Examples(inputs, targets)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, options.width), nn.ReLU(), nn.Linear(options.width, 10)
    ).to(context.device)
    return Split(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=options.learning_rate),
        loss=F.cross_entropy,
        train=every.at(order[options.held_out :]),
        held_out=every.at(order[: options.held_out]),
        batch_size=options.batch_size,
        steps=options.steps,
    )
