"""What a script shows of its training: each step once, with what led to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from harness.worker.script_backend.hooks import TrainingHooks


class Halving(SGD):
    """A class that goes on in its parent's step."""

    def step(self, closure: Any = None) -> Any:
        loss = super().step(closure)
        for group in self.param_groups:
            group["lr"] /= 2
        return loss


class Around(Optimizer):
    """An optimizer that wraps another, with torch's own constructor."""

    def __init__(self, inner: Optimizer) -> None:
        super().__init__(inner.param_groups, {})
        self.inner = inner

    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        return self.inner.step(closure)


class Outside(Optimizer):
    """The same without torch's constructor, as Accelerate has it."""

    def __init__(self, inner: Optimizer) -> None:
        self.inner = inner

    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        return self.inner.step(closure)


def sgd(net: nn.Module) -> Optimizer:
    return SGD(net.parameters(), 0.1)


@pytest.mark.parametrize(
    "made",
    [
        sgd,
        lambda net: Halving(net.parameters(), 0.1),
        lambda net: Around(sgd(net)),
        lambda net: Outside(sgd(net)),
        lambda net: Around(Halving(net.parameters(), 0.1)),
    ],
)
def test_a_step_is_counted_once_whoever_wraps_it(made: Callable[[nn.Module], Optimizer]) -> None:
    sgd(nn.Linear(1, 1))  # torch hooks into a class when the first of it is made
    net = nn.Linear(3, 1)
    optimizer, seen, found = made(net), TrainingHooks(), []
    with seen.install(after_step=lambda: found.append(net.weight.detach().clone())):
        for _ in range(3):
            net(torch.ones(2, 3)).sum().backward()
            optimizer.step()
    assert seen.steps == len(found) == 3
    assert torch.equal(found[-1], net.weight)


def test_a_step_that_fails_is_none_and_hides_none_after_it() -> None:
    net, seen = nn.Linear(3, 1), TrainingHooks()
    optimizer = sgd(net)

    def closure() -> Tensor:
        raise MemoryError

    with seen.install():
        with pytest.raises(MemoryError):
            optimizer.step(closure)  # type: ignore[arg-type]
        net(torch.ones(2, 3)).sum().backward()
        optimizer.step()
    assert seen.steps == 1


def test_the_steps_of_several_optimizers_after_one_backward_have_its_loss_and_inputs() -> None:
    nets, seen, found = [nn.Linear(3, 3), nn.Linear(3, 1)], TrainingHooks(), []
    optimizers = [sgd(one) for one in nets]

    def note() -> None:
        found.append(([float(one) for one in seen.last_losses], len(seen.inputs)))

    with seen.install(after_step=note):
        for step in range(2):
            nets[1](nets[0](torch.ones(2, 3))).mul(0).add(step).mean().backward()
            for one in optimizers:
                one.step()
    assert found == [([0.0], 2), ([0.0], 2), ([1.0], 2), ([1.0], 2)]


def test_inputs_by_name_are_inputs() -> None:
    net, seen, found = nn.Linear(3, 1), TrainingHooks(), []
    x = torch.ones(2, 3)
    optimizer = sgd(net)
    with seen.install(after_step=lambda: found.extend(seen.inputs)):
        net(input=x).sum().backward()
        optimizer.step()
    assert found[0][1]["input"] is x


def test_a_closure_shows_the_model_only_within_the_step_and_it_is_held_once() -> None:
    net, seen, before = nn.Linear(3, 1), TrainingHooks(), []
    optimizer = sgd(net)

    def closure() -> Tensor:
        loss = net(torch.ones(2, 3)).sum()
        loss.backward()
        return loss

    with seen.install(before_step=lambda: before.extend(seen.models)):
        optimizer.step(closure)  # type: ignore[arg-type]
    assert before == ["SGD parameters"]
    assert list(seen.models) == ["Linear"]
    assert len(seen.inputs) == len(seen.last_losses) == 1


def test_a_scaler_that_skips_a_step_makes_none() -> None:
    net, seen = nn.Linear(3, 1), TrainingHooks()
    optimizer, scaler = sgd(net), torch.amp.GradScaler("cpu")
    with seen.install():
        for scale in (1.0, float("inf"), 1.0):
            optimizer.zero_grad()
            scaler.scale(net(torch.ones(2, 3)).sum() * scale).backward()
            scaler.step(optimizer)
            scaler.update()
    assert seen.steps == 2


def test_of_a_wrapper_without_state_what_it_wraps_is_held_and_the_parameters_once() -> None:
    nets, seen = [nn.Linear(3, 1), nn.Linear(3, 1)], TrainingHooks()
    wrapped, halving = sgd(nets[0]), Halving(nets[1].parameters(), 0.1)
    optimizers = [Around(wrapped), halving]
    with seen.install():
        for _ in range(2):
            sum(net(torch.ones(2, 3)).sum() for net in nets).backward()
            for one in optimizers:
                one.step()
    assert seen.steps == 4
    assert list(seen.optimizers.values()) == [wrapped, halving]
    assert list(seen.models.values()) == nets
