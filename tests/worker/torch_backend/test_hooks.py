"""Hooks observe each training step of a script once, with its inputs and losses."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.optim import SGD, Optimizer

from harness.core.errors import ObserverError
from harness.worker.torch_backend.components import params
from harness.worker.torch_backend.hooks import TrainingHooks
from harness.worker.torch_backend.inputs import InputDigests


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
    nets, hooks, records = [nn.Linear(3, 3), nn.Linear(3, 1)], TrainingHooks(InputDigests()), []
    optimizers = [make_sgd(net) for net in nets]

    def note() -> None:
        records.append(([float(loss) for loss in hooks.last_losses], len(hooks.inputs.digests)))

    with hooks.install(after_step=note):
        for step in range(2):
            nets[1](nets[0](torch.ones(2, 3))).mul(0).add(step).mean().backward()
            for optimizer in optimizers:
                optimizer.step()
    assert records == [([0.0], 2), ([0.0], 2), ([1.0], 2), ([1.0], 2)]


def test_a_model_in_a_closure_replaces_the_loose_parameters() -> None:
    """A model first called inside a closure is tracked once, with one input and one loss."""
    net, hooks, before = nn.Linear(3, 1), TrainingHooks(InputDigests()), []
    optimizer = make_sgd(net)

    def closure() -> Tensor:
        loss = net(torch.ones(2, 3)).sum()
        loss.backward()
        return loss

    with hooks.install(before_step=lambda: before.extend(hooks.models)):
        optimizer.step(closure)  # type: ignore[arg-type]
    assert before == ["SGD parameters"]
    assert list(hooks.models) == ["Linear"]
    assert len(hooks.inputs.digests) == len(hooks.last_losses) == 1


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


def test_a_late_parameter_group_is_observed() -> None:
    """A tensor that add_param_group adds after the first step is among the parameters."""
    net, hooks = nn.Linear(3, 1), TrainingHooks()
    optimizer, extra = make_sgd(net), nn.Parameter(torch.ones(5))
    with hooks.install():
        for step in range(2):
            if step:
                optimizer.add_param_group({"params": [extra]})
            (net(torch.ones(2, 3)).sum() + extra.sum()).backward()
            optimizer.step()
    assert any(tensor is extra for _, tensor in params(hooks))


def test_a_generator_of_roots_reaches_backward() -> None:
    """torch.autograd.backward may be given its roots once only; each of them is a loss."""
    net, hooks = nn.Linear(3, 1), TrainingHooks()
    with hooks.install():
        outputs = [net(torch.ones(2, 3)).sum() for _ in range(2)]
        torch.autograd.backward(output for output in outputs)
    assert net.weight.grad is not None
    assert len(hooks.losses) == 2


def test_a_gradient_edge_reaches_backward() -> None:
    """The root of a backward may be an edge of the graph, which has no loss to observe."""
    net, hooks = nn.Linear(3, 1), TrainingHooks()
    with hooks.install():
        torch.autograd.backward(get_gradient_edge(net(torch.ones(2, 3)).sum()))
    assert net.weight.grad is not None
    assert hooks.error is None
    assert hooks.losses == []


def test_a_failing_hook_does_not_reach_the_training() -> None:
    """The training ends with its own weights, and the first error is raised by ``check``."""

    def train(hooks: TrainingHooks, after_step: Callable[[], None]) -> Tensor:
        torch.manual_seed(1)
        net = nn.Linear(3, 1)
        optimizer = make_sgd(net)
        with hooks.install(after_step=after_step):
            for _ in range(3):
                net(torch.ones(2, 3)).sum().backward()
                optimizer.step()
        return net.weight.detach()

    def fail() -> None:
        raise TypeError("no bits")

    failed, fine = TrainingHooks(InputDigests()), TrainingHooks()
    assert torch.equal(train(failed, fail), train(fine, lambda: None))
    fine.check()
    with pytest.raises(ObserverError, match="at step 2") as raised:
        failed.check()
    assert str(raised.value.__cause__) == "no bits"


def test_nothing_is_kept_of_inputs() -> None:
    """A batch is freed as soon as the script drops it, in trace runs and in timing runs."""
    for hooks in (TrainingHooks(InputDigests()), TrainingHooks()):
        net, batch = nn.Linear(3, 1), torch.ones(2, 3)
        dropped = weakref.ref(batch)
        with hooks.install():
            net(batch)
            del batch
            assert dropped() is None


def test_threads_that_train_at_once_are_told() -> None:
    """Two threads cannot be kept apart; one after the other can, also after the main thread."""

    def train(*_: object) -> None:
        nn.Linear(3, 1)(torch.ones(2, 3)).sum().backward()

    alone, both = TrainingHooks(), TrainingHooks()
    with alone.install():
        train()
        for _ in range(2):
            thread = threading.Thread(target=train)
            thread.start()
            thread.join()
        train()
    alone.check()
    with both.install(), ThreadPoolExecutor(2) as pool:
        barrier = threading.Barrier(2)

        def train_in_turns(*_: object) -> None:
            for _ in range(2):
                barrier.wait()
                train()

        list(pool.map(train_in_turns, range(2)))
    with pytest.raises(ObserverError, match="in several threads at once is not supported"):
        both.check()
