"""What a first training would import lazily, imported while a worker waits for its release."""

from __future__ import annotations

import numpy as np
import torch


def warm_up() -> None:
    """Imports torch's compiler front end, as building a first optimizer does (0.8 s on two cores).

    Draws no random number, starts no thread and creates no device context.
    """
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.0)  # no step: it may query a device


def reseed() -> None:
    """Draws the initial state of unseeded generators again, as a fresh interpreter would.

    For a forked child, which otherwise shares it with its siblings. Python's own generator reseeds
    itself after a fork, and CUDA's generators do not exist yet.
    """
    np.random.seed()
    torch.default_generator.seed()
