"""Forwards of models are observed once each, and their modules are left as they were."""

from __future__ import annotations

import pickle
import warnings
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.utils.checkpoint import checkpoint

from harness.core.errors import ObserverError
from harness.worker.torch_backend.hooks import TrainingHooks
from harness.worker.torch_backend.inputs import InputDigests


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
    optimizer = SGD(net.parameters(), 0.1)
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
    optimizer = SGD(net.parameters(), 0.1)
    compiled = torch.compile(net, backend="eager")
    with hooks.install(), warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            compiled(torch.ones(2, 3)).sum().backward()
            optimizer.step()
    assert (hooks.steps, list(hooks.models)) == (2, ["OptimizedModule"])
