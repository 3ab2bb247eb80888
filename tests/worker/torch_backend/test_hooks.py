"""Hooks observe each training step of a script once, with its inputs and losses."""

from __future__ import annotations

import pickle
import threading
import warnings
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.optim import SGD, Optimizer
from torch.utils.checkpoint import checkpoint

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


class Checkpointed(nn.Module):
    """Two layers whose activations are computed again in the backward pass."""

    def __init__(self, use_reentrant: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1))
        self.use_reentrant = use_reentrant

    def forward(self, x: Tensor) -> Any:
        return checkpoint(self.layers, x, use_reentrant=self.use_reentrant)


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpointing_is_one_forward_and_one_loss(use_reentrant: bool) -> None:
    """Layers that run again in the backward pass are no second model, and their roots no loss."""
    net, hooks, losses = Checkpointed(use_reentrant), TrainingHooks(InputDigests()), []
    optimizer = make_sgd(net)
    with hooks.install(after_step=lambda: losses.append([*hooks.losses])):
        for _ in range(2):
            net(torch.ones(2, 3, requires_grad=True)).sum().backward()
            optimizer.step()
    assert hooks.forwards.depth == 0
    assert list(hooks.models) == ["Checkpointed"]
    assert [len(step) for step in losses] == [1, 1]


def test_a_model_is_seen_after_a_forward_that_failed() -> None:
    """An exception that the script catches inside a forward does not hide later models."""
    net, hooks = nn.Linear(3, 1), TrainingHooks()
    with hooks.install():
        with pytest.raises(RuntimeError, match="shapes"):
            nn.Linear(4, 1)(torch.ones(2, 3))
        net(torch.ones(2, 3))
    assert hooks.forwards.depth == 0
    assert hooks.error is None
    assert any(model is net for model in hooks.models.values())


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


def test_models_of_an_earlier_training_are_let_go() -> None:
    """Of the models and optimizers that the script has dropped, only the last ones are held.

    Those that it still refers to stay tracked under their names.
    """
    hooks, dropped, kept = TrainingHooks(), [], nn.Linear(2, 2)
    with hooks.install():
        kept(torch.ones(1, 2))
        for _ in range(5):
            net = nn.Linear(3, 1)
            optimizer = make_sgd(net)
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


class Tree(nn.Linear):
    """A model that calls itself, looks at its hooks and is pickled inside its forward."""

    def forward(self, x: Tensor, level: int = 2) -> None:
        assert not self._forward_hooks
        pickle.dumps(self)
        for child in x if level else ():
            self(child, level - 1)


def test_nothing_is_left_on_a_model() -> None:
    """Inside and after a forward, also one that fails or returns None, a model has no hook."""
    net, hooks = Tree(3, 1), TrainingHooks(InputDigests())
    with hooks.install():
        for x in (torch.ones(2, 3), None):
            with nullcontext() if x is not None else pytest.raises(TypeError, match="iterable"):
                net(x)
            pickle.dumps(net)
    assert hooks.error is None
    assert hooks.forwards.depth == 0
    assert len(hooks.inputs.digests) == 2


def test_forwards_that_are_traced_or_compiled_are_left_alone() -> None:
    """A graph has no break and no operation that plain torch would not have in it."""
    net, hooks = nn.Linear(3, 1), TrainingHooks(InputDigests())

    @torch.compile(backend="eager", fullgraph=True)
    def loss(x: Tensor) -> Tensor:
        return net(x).sum()

    with hooks.install(), warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*is deprecated", DeprecationWarning)
        loss(torch.ones(2, 3)).backward()
        traced = torch.jit.trace(net, torch.ones(2, 3))
        torch.func.vmap(net)(torch.ones(2, 3))
        net.to("meta")(torch.ones(2, 3, device="meta"))
        hooks.check()
    assert "view" not in str(traced.graph)
    assert hooks.inputs.undigested == {"tensor without memory of its own"}


def test_threads_that_train_at_once_are_told() -> None:
    """Two threads cannot be kept apart; one after the other can."""

    def train(*_: object) -> None:
        nn.Linear(3, 1)(torch.ones(2, 3)).sum().backward()

    alone, both = TrainingHooks(), TrainingHooks()
    with alone.install():
        for _ in range(2):
            thread = threading.Thread(target=train)
            thread.start()
            thread.join()
    alone.check()
    with both.install(), ThreadPoolExecutor(2) as pool:
        barrier = threading.Barrier(2)
        list(pool.map(lambda _: (barrier.wait(), train()), range(2)))
    with pytest.raises(ObserverError, match="several threads train at once"):
        both.check()


def test_a_scripted_model_is_observed() -> None:
    """Hooks of a ScriptModule would be compiled into it; it is observed without them."""
    hooks = TrainingHooks(InputDigests())
    with pytest.warns(DeprecationWarning, match="is deprecated"):
        net = torch.jit.script(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1)))
    with hooks.install():
        for _ in range(2):
            net(torch.ones(2, 3))
    assert len(hooks.models) == 1
    assert len(hooks.inputs.digests) == 2
    assert hooks.forwards.depth == 0


def test_an_interrupted_forward_is_told() -> None:
    """Torch calls no hook after a KeyboardInterrupt, so a script that goes on is not observed."""

    class Interrupted(nn.Linear):
        def forward(self, *_: Tensor) -> Tensor:
            raise KeyboardInterrupt

    hooks = TrainingHooks()
    with hooks.install(), pytest.raises(KeyboardInterrupt):
        Interrupted(3, 1)(torch.ones(2, 3))
    with pytest.raises(ObserverError, match="a forward was interrupted"):
        hooks.check()


def test_a_compiled_model_does_not_notice_the_hooks() -> None:
    """Torch warns of global hooks on compiled models: not of those of the observer."""
    net, hooks = nn.Linear(3, 1), TrainingHooks(InputDigests())
    optimizer = make_sgd(net)
    compiled = torch.compile(net, backend="eager")
    with hooks.install(), warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            compiled(torch.ones(2, 3)).sum().backward()
            optimizer.step()
    assert (hooks.steps, list(hooks.models)) == (2, ["OptimizedModule"])
