"""What is read of a training at a step, and put back into another one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.worker.script_backend.state_exchange import StateExchange, States
from harness.worker.torch_backend.hooks import TrainingHooks

STEPS = 4


def train(begin: int, saved: States | None = None, parts: tuple[str, ...] = ()) -> tuple:
    """Train from a fresh state, observed from step ``begin`` on; return the exchange and weights.

    No function of torch restores a state in it.
    """
    torch.manual_seed(len(parts))  # a resumed training begins with other weights and noise
    hooks = TrainingHooks()
    exchange = StateExchange(hooks, begin, saved, parts)
    with (
        exchange.install(),
        hooks.install(exchange.before_step, exchange.after_step, exchange.at_forward),
    ):
        net = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))
        optimizer = torch.optim.Adam(net.parameters(), 0.1)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        for _ in range(STEPS if saved is None else STEPS - 2):
            net(torch.ones(2, 3)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
            scheduler.step()
    hooks.check()
    return exchange, net[0].weight.detach()


ALL = ("parameters", "optimizer", "scheduler", "torch_rng")


def test_a_training_with_every_state_put_back_ends_the_same() -> None:
    """The first two steps are replaced by their states, the generator's too, and only once."""
    whole, weights = train(3)
    assert set(whole.found) >= set(ALL)
    resumed, ended = train(1, whole.found, ALL)
    assert torch.equal(weights, ended)
    assert {part for part in ALL if resumed.digests()[part] != whole.digests()[part]} == set(ALL)


@pytest.mark.parametrize("left_out", ALL)
def test_a_training_needs_each_state(left_out: str) -> None:
    """Without any one of them it ends with other weights."""
    whole, weights = train(3)
    parts = tuple(part for part in ALL if part != left_out)
    assert not torch.equal(weights, train(1, whole.found, parts)[1])
