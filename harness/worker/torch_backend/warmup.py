"""What a first training would load lazily, loaded while the worker still waits for its turn.

Building the first optimizer imports torch's compiler front end (0.8 s on a small machine), which
would stand in every run's critical path. Nothing here draws a random number, starts a thread or
makes a device context.
"""

from __future__ import annotations

import torch


def warm_up_torch() -> None:
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.0)  # no step: that may ask a device
