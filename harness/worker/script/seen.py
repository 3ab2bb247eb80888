"""What a script shows of its training while it runs: models, optimizers, inputs and losses.

Nothing of the script is changed. Torch calls its global hooks around every module's forward and
every optimizer's step, whoever wrote the loop; a step of any optimizer ends a step of the training.
A backward begins at a loss, and so shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from harness.observation import listeners


class Seen:
    """A training as far as it has shown itself; what a scenario's training has, this has too."""

    def __init__(self) -> None:
        self.models: dict[str, nn.Module] = {}  # those that were called from outside of others
        self.optimizers: dict[str, Optimizer] = {}
        self.inputs: list[Any] = []  # of those models since the last step
        self.losses: list[Tensor] = []  # at which backwards began since the last step
        self.told: list[Tensor] = []  # by the script itself, in that time
        self.steps = 0
        self.depth = 0  # of forwards inside each other

    @contextmanager
    def looking(
        self,
        before_step: Callable[[], None] = lambda: None,
        after_step: Callable[[], None] = lambda: None,
        at_forward: Callable[[], None] = lambda: None,
    ) -> Iterator[None]:
        """``at_forward`` is called before each forward of a model."""
        self.before_step, self.after_step, self.at_forward = before_step, after_step, at_forward
        with ExitStack() as hooks:
            for handle in (
                nn.modules.module.register_module_forward_pre_hook(self.enter),
                nn.modules.module.register_module_forward_hook(self.leave, always_call=True),
                register_optimizer_step_pre_hook(self.begin_step),
                register_optimizer_step_post_hook(self.end_step),
            ):
                hooks.callback(handle.remove)
            hooks.enter_context(self.backwards_seen())
            listeners.append(self.be_told)
            hooks.callback(listeners.remove, self.be_told)
            yield

    def be_told(self, loss: Any) -> None:
        self.told.append(torch.as_tensor(loss).detach().clone())

    @property
    def last_losses(self) -> list[Tensor]:
        """The last loss since the last step, or none: the script's own word comes first."""
        return (self.told or self.losses)[-1:]

    @contextmanager
    def backwards_seen(self) -> Iterator[None]:
        """``Tensor.backward`` goes through this function too, and torch has no hook for it."""
        plain = torch.autograd.backward

        def backward(tensors: Any, *args: Any, **kwargs: Any) -> None:
            roots = [tensors] if isinstance(tensors, Tensor) else list(tensors)
            self.losses += [one.detach() for one in roots]
            plain(tensors, *args, **kwargs)

        torch.autograd.backward = backward
        try:
            yield
        finally:
            torch.autograd.backward = plain

    def enter(self, module: nn.Module, args: Any) -> None:
        self.depth += 1
        if self.depth > 1 or not has_tensors(module):
            return
        if not any(module is one for one in self.models.values()):
            self.models[free_name(type(module).__name__, self.models)] = module
        self.at_forward()
        self.inputs.append(args)

    def leave(self, module: nn.Module, args: Any, output: Any) -> None:  # noqa: ARG002
        self.depth -= 1

    def begin_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:  # noqa: ARG002
        if not any(optimizer is one for one in self.optimizers.values()):
            name = free_name(type(optimizer).__name__, self.optimizers)
            self.optimizers[name] = optimizer
            self.take_loose(name, optimizer)
        self.before_step()

    def end_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:  # noqa: ARG002
        self.steps += 1
        self.after_step()
        self.inputs.clear()
        self.losses.clear()
        self.told.clear()

    def take_loose(self, name: str, optimizer: Optimizer) -> None:
        """Parameters of no model that was called are looked at as a model of their own."""
        known = {id(one) for model in self.models.values() for one in model.parameters()}
        loose = Loose()
        for group, options in enumerate(optimizer.param_groups):
            for place, one in enumerate(options["params"]):
                if id(one) not in known:
                    loose.tensors[f"{group}.{place}"] = one
        if loose.tensors:
            self.models[f"{name} parameters"] = loose


class Loose(nn.Module):
    """Tensors that are optimized without a module."""

    def __init__(self) -> None:
        super().__init__()
        self.tensors: dict[str, Tensor] = {}

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Any]]:  # noqa: ARG002
        yield from self.tensors.items()


def has_tensors(module: nn.Module) -> bool:
    """A loss function or an activation has neither parameters nor buffers."""
    some = next(module.parameters(), None), next(module.buffers(), None)
    return any(one is not None for one in some)


def free_name(name: str, taken: dict[str, Any]) -> str:
    if name not in taken:
        return name
    return next(f"{name} {n}" for n in count(2) if f"{name} {n}" not in taken)
