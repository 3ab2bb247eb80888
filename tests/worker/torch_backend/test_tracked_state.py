"""Models and optimizers are held only as long as the script holds them, or until its end."""

from __future__ import annotations

import weakref

import torch
from torch import nn
from torch.optim import SGD

from harness.worker.torch_backend.components import params
from harness.worker.torch_backend.hooks import TrainingHooks


def test_models_of_an_earlier_training_are_let_go() -> None:
    """Of the models and optimizers that the script has dropped, only the last ones are held.

    Those that it still refers to stay tracked under their names.
    """
    hooks, dropped, kept = TrainingHooks(), [], nn.Linear(2, 2)
    with hooks.install():
        kept(torch.ones(1, 2))
        for _ in range(5):
            net = nn.Linear(3, 1)
            optimizer = SGD(net.parameters(), 0.1)
            scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)  # refers to it in a cycle
            dropped.append((weakref.ref(net), weakref.ref(optimizer)))
            net(torch.ones(2, 3)).sum().backward()
            optimizer.step()
            scheduler.step()
            last = net.weight.detach()
            del net, optimizer, scheduler
    alive = [fold for fold, references in enumerate(dropped) if any(one() for one in references)]
    assert alive == [4]
    assert hooks.models["Linear"] is kept
    assert any(torch.equal(tensor, last) for _, tensor in params(hooks))


def test_models_that_are_only_called_are_let_go() -> None:
    """A program that evaluates one model after the other holds two of them at most."""
    hooks, dropped = TrainingHooks(), []
    with hooks.install():
        for _ in range(9):
            net = nn.Linear(3, 1)
            dropped.append(weakref.ref(net))
            net(torch.ones(2, 3))
            del net
            assert sum(one() is not None for one in dropped) <= 2
