"""Hooks observe each training step of a script once, with its inputs and losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from harness.worker.torch_backend.hooks import TrainingHooks


class Halving(SGD):
    """An optimizer whose step calls the step of its parent class."""

    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        for group in self.param_groups:
            group["lr"] /= 2
        return loss


class Wrapper(Optimizer):
    """An optimizer that wraps another and calls torch's constructor."""

    def __init__(self, inner: Optimizer) -> None:
        super().__init__(inner.param_groups, {})
        self.inner = inner

    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        return self.inner.step(closure)


class BareWrapper(Optimizer):
    """A wrapper that does not call torch's constructor, as in Accelerate."""

    def __init__(self, inner: Optimizer) -> None:
        self.inner = inner

    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        return self.inner.step(closure)


def make_sgd(net: nn.Module) -> Optimizer:
    return SGD(net.parameters(), 0.1)


@pytest.mark.parametrize(
    "make",
    [
        make_sgd,
        lambda net: Halving(net.parameters(), 0.1),
        lambda net: Wrapper(make_sgd(net)),
        lambda net: BareWrapper(make_sgd(net)),
        lambda net: Wrapper(Halving(net.parameters(), 0.1)),
    ],
)
def test_a_nested_step_is_counted_once(make: Callable[[nn.Module], Optimizer]) -> None:
    """A step counts once, even if an optimizer wraps another or calls its parent's step."""
    make_sgd(nn.Linear(1, 1))  # torch patches a class when its first optimizer is created
    net = nn.Linear(3, 1)
    optimizer, hooks, weights = make(net), TrainingHooks(), []
    with hooks.install(after_step=lambda: weights.append(net.weight.detach().clone())):
        for _ in range(3):
            net(torch.ones(2, 3)).sum().backward()
            optimizer.step()
    assert hooks.steps == len(weights) == 3
    assert torch.equal(weights[-1], net.weight)


def test_a_failed_step_is_not_counted() -> None:
    """A step that raises does not count, and the step after it does."""
    net, hooks = nn.Linear(3, 1), TrainingHooks()
    optimizer = make_sgd(net)

    def closure() -> Tensor:
        raise MemoryError

    with hooks.install():
        with pytest.raises(MemoryError):
            optimizer.step(closure)  # type: ignore[arg-type]
        net(torch.ones(2, 3)).sum().backward()
        optimizer.step()
    assert hooks.steps == 1


def test_steps_after_one_backward_share_its_loss_and_inputs() -> None:
    """If several optimizers step after one backward, each step has its loss and both inputs."""
    nets, hooks, records = [nn.Linear(3, 3), nn.Linear(3, 1)], TrainingHooks(), []
    optimizers = [make_sgd(net) for net in nets]

    def note() -> None:
        records.append(([float(loss) for loss in hooks.last_losses], len(hooks.inputs)))

    with hooks.install(after_step=note):
        for step in range(2):
            nets[1](nets[0](torch.ones(2, 3))).mul(0).add(step).mean().backward()
            for optimizer in optimizers:
                optimizer.step()
    assert records == [([0.0], 2), ([0.0], 2), ([1.0], 2), ([1.0], 2)]


def test_keyword_arguments_are_inputs() -> None:
    """An argument that a model gets by keyword is among the inputs of the step."""
    net, hooks, inputs = nn.Linear(3, 1), TrainingHooks(), []
    x = torch.ones(2, 3)
    optimizer = make_sgd(net)
    with hooks.install(after_step=lambda: inputs.extend(hooks.inputs)):
        net(input=x).sum().backward()
        optimizer.step()
    assert inputs[0][1]["input"] is x


def test_a_model_in_a_closure_replaces_the_loose_parameters() -> None:
    """A model first called inside a closure is tracked once, with one input and one loss."""
    net, hooks, before = nn.Linear(3, 1), TrainingHooks(), []
    optimizer = make_sgd(net)

    def closure() -> Tensor:
        loss = net(torch.ones(2, 3)).sum()
        loss.backward()
        return loss

    with hooks.install(before_step=lambda: before.extend(hooks.models)):
        optimizer.step(closure)  # type: ignore[arg-type]
    assert before == ["SGD parameters"]
    assert list(hooks.models) == ["Linear"]
    assert len(hooks.inputs) == len(hooks.last_losses) == 1


def test_a_step_that_a_scaler_skips_is_not_counted() -> None:
    """Of three steps, the one that a GradScaler skips for an infinite gradient does not count."""
    net, hooks = nn.Linear(3, 1), TrainingHooks()
    optimizer, scaler = make_sgd(net), torch.amp.GradScaler("cpu")
    with hooks.install():
        for scale in (1.0, float("inf"), 1.0):
            optimizer.zero_grad()
            scaler.scale(net(torch.ones(2, 3)).sum() * scale).backward()
            scaler.step(optimizer)
            scaler.update()
    assert hooks.steps == 2


def test_a_stateless_wrapper_is_replaced_by_its_inner_optimizer() -> None:
    """The inner optimizer is tracked in place of a stateless wrapper, and each model once."""
    nets, hooks = [nn.Linear(3, 1), nn.Linear(3, 1)], TrainingHooks()
    inner, halving = make_sgd(nets[0]), Halving(nets[1].parameters(), 0.1)
    optimizers = [Wrapper(inner), halving]
    with hooks.install():
        for _ in range(2):
            sum(net(torch.ones(2, 3)).sum() for net in nets).backward()
            for optimizer in optimizers:
                optimizer.step()
    assert hooks.steps == 4
    assert list(hooks.optimizers.values()) == [inner, halving]
    assert list(hooks.models.values()) == nets
