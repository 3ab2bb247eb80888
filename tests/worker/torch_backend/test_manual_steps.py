"""In a script without an optimizer, a backward pass and what follows it is a step."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim import SGD

import harness
from harness.worker.torch_backend.components import params
from harness.worker.torch_backend.hooks import TrainingHooks
from harness.worker.torch_backend.inputs import InputDigests


def test_a_loop_without_an_optimizer_has_a_step_for_each_backward() -> None:
    """Parameters updated by hand are trained in steps, each with its loss, inputs and gradients."""
    net, loose = nn.Linear(3, 1), torch.ones(1, requires_grad=True)
    hooks, records, grads = TrainingHooks(InputDigests()), [], []

    def note() -> None:
        records.append(
            (float(hooks.last_losses[0]), len(hooks.inputs.digests), float(loose.detach()))
        )

    with hooks.install(
        after_step=note, after_backward=lambda _: grads.append(loose.grad is not None)
    ):
        for step in range(3):
            (net(torch.ones(2, 3)).sum() * 0 + step * loose).sum().backward()
            with torch.no_grad():
                for parameter in (*net.parameters(), loose):
                    parameter.sub_(1)
                    parameter.grad = None
    assert records == [(0.0, 1, 0.0), (0.0, 1, -1.0), (-2.0, 1, -2.0)]
    assert grads == [True] * 3
    assert (hooks.steps, hooks.manual_steps) == (3, 3)
    assert list(hooks.models) == ["Linear", "parameters"]


def test_gradients_that_are_returned_belong_to_a_step() -> None:
    """torch.autograd.grad begins a step; tensors replaced at each step are tracked by position."""
    hooks, weight, seen, returned = TrainingHooks(), torch.ones(2), [], []
    with hooks.install(
        after_step=lambda: seen.append([tensor for _, tensor in params(hooks)]),
        after_backward=returned.append,
    ):
        for _ in range(3):
            weight = weight.detach().requires_grad_()
            penalty = torch.autograd.grad(weight.square().sum(), weight, create_graph=True)
            (grad,) = torch.autograd.grad(weight.sum() + penalty[0].sum(), [weight])
            weight = weight - grad
    assert hooks.steps == len(returned) == 3
    assert [[tensor.tolist() for tensor in tensors] for tensors in seen] == [
        [[1.0, 1.0]],
        [[-2.0, -2.0]],
        [[-5.0, -5.0]],
    ]


def test_backwards_before_an_optimizers_step_are_not_steps() -> None:
    """Accumulated gradients and a gradient penalty belong to the step of the optimizer."""
    net, hooks, losses = nn.Linear(3, 1), TrainingHooks(), []
    with hooks.install(after_step=lambda: losses.append(len(hooks.losses))):
        optimizer = SGD(net.parameters(), 0.1)
        for _ in range(2):
            for _ in range(3):
                x = torch.ones(2, 3, requires_grad=True)
                torch.autograd.grad(net(x).sum(), x)
                net(x).sum().backward()
            optimizer.step()
    assert (hooks.steps, hooks.manual_steps) == (2, 0)
    assert losses == [3, 3]


@pytest.mark.parametrize("before_backward", [True, False])
def test_a_loss_reported_without_an_optimizer_belongs_to_its_step(before_backward: bool) -> None:
    """harness.observe(loss=...) before a backward pass or after it is the loss of its step."""
    hooks, weight, losses = TrainingHooks(), torch.ones(1, requires_grad=True), []
    with hooks.install(after_step=lambda: losses.append(float(hooks.last_losses[0]))):
        for step in range(3):
            loss = weight.sum()
            if before_backward:
                harness.observe(loss=step)
            loss.backward()
            if not before_backward:
                harness.observe(loss=step)
    assert losses == [0.0, 1.0, 2.0]
