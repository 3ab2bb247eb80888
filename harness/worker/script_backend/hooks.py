"""What a script shows of its training while it runs: models, optimizers, inputs and losses.

Nothing of the script is changed. Torch calls its global hooks around every module's forward and
every optimizer's step, whoever wrote the loop; a step of any optimizer ends a step of the training.
A backward begins at a loss, and so shows it. What led to a step of one optimizer leads to those of
others too, until a forward, a backward or a word of the script shows something new.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from harness.core.observe import listeners


class TrainingHooks:
    """A training as far as it has shown itself; what a scenario's training has, this has too."""

    def __init__(self) -> None:
        self.models: dict[str, nn.Module] = {}  # those that were called from outside of others
        self.optimizers: dict[str, Optimizer] = {}
        self.wrappers: list[Optimizer] = []  # optimizers that only hand on to those
        self.inputs: list[Any] = []  # of those models since the last step
        self.losses: list[Tensor] = []  # at which backwards began since the last step
        self.reported: list[Tensor] = []  # by the script itself, in that time
        self.steps = 0
        self.depth = 0  # of forwards inside each other
        self.is_used = False  # what was shown has led to a step
        self.step: FrameType | None = None  # of the step under way
        self.inside: list[Optimizer] = []  # that have stepped inside of it

    @contextmanager
    def install(
        self,
        before_step: Callable[[], None] = lambda: None,
        after_step: Callable[[], None] = lambda: None,
        at_forward: Callable[[], None] = lambda: None,
    ) -> Iterator[None]:
        """``at_forward`` is called before each forward of a model."""
        self.before_step, self.after_step, self.at_forward = before_step, after_step, at_forward
        with ExitStack() as hooks:
            for handle in (
                nn.modules.module.register_module_forward_pre_hook(self.enter_module),
                nn.modules.module.register_module_forward_hook(
                    self.leave_module, with_kwargs=True, always_call=True
                ),
                register_optimizer_step_pre_hook(self.begin_step),
                register_optimizer_step_post_hook(self._end_step),
            ):
                hooks.callback(handle.remove)
            hooks.enter_context(self._patch_backward())
            listeners.append(self._receive_loss)
            hooks.callback(listeners.remove, self._receive_loss)
            yield

    def _receive_loss(self, loss: Any) -> None:
        self._discard_used()
        self.reported.append(torch.as_tensor(loss).detach().clone())

    @property
    def last_losses(self) -> list[Tensor]:
        """The last loss since the last step, or none: the script's own word comes first."""
        return (self.reported or self.losses)[-1:]

    @contextmanager
    def _patch_backward(self) -> Iterator[None]:
        """``Tensor.backward`` goes through this function too, and torch has no hook for it."""
        plain = torch.autograd.backward

        def backward(tensors: Any, *args: Any, **kwargs: Any) -> None:
            roots = [tensors] if isinstance(tensors, Tensor) else list(tensors)
            self._discard_used()
            self.losses += [one.detach() for one in roots]
            plain(tensors, *args, **kwargs)

        torch.autograd.backward = backward
        try:
            yield
        finally:
            torch.autograd.backward = plain

    def _discard_used(self) -> None:
        """Forgets what has led to a step, when something new is shown."""
        if not self.is_used:
            return
        self.is_used = False
        self.inputs.clear()
        self.losses.clear()
        self.reported.clear()

    def enter_module(self, module: nn.Module, args: Any) -> None:  # noqa: ARG002
        self.depth += 1
        if self.depth > 1 or not _has_tensors(module):
            return
        self._discard_used()
        if not any(module is one for one in self.models.values()):
            self.models[_free_name(type(module).__name__, self.models)] = module
            self._claim_loose_parameters(module)
        self.at_forward()

    def leave_module(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:  # noqa: ARG002
        self.depth -= 1
        if self.depth == 0 and _has_tensors(module):
            self.inputs.append((args, kwargs))

    def begin_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:  # noqa: ARG002
        """A step that is called inside of another one's is a part of that: an optimizer that wraps
        another, or a class that goes on in its parent's step.
        """
        if not any(optimizer is one for one in [*self.optimizers.values(), *self.wrappers]):
            name = _free_name(type(optimizer).__name__, self.optimizers)
            self.optimizers[name] = optimizer
            self._add_loose_parameters(name, optimizer)
        caller = sys._getframe(1)  # torch's, which calls the hooks and the step
        if not _is_active(self.step, caller):
            self.step = caller
            self.inside.clear()
            self.before_step()

    def _end_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:  # noqa: ARG002
        """What a fused optimizer skips in its kernel, as a scaler bids it, is a step too: asking
        would mean waiting for the device.
        """
        if self.step is not sys._getframe(1):
            self.inside.append(optimizer)
            return
        self._drop_wrapper(optimizer)
        self.step = None
        self.steps += 1
        self.after_step()
        self.is_used = True

    def _drop_wrapper(self, optimizer: Optimizer) -> None:
        """One that wraps another and has no state of its own need not tell any: ZeRO's cannot, but
        at a checkpoint.
        """
        is_wrapper = any(one is not optimizer for one in self.inside) and not optimizer.state
        for name, one in list(self.optimizers.items()):
            if is_wrapper and one is optimizer:
                del self.optimizers[name]
                self.wrappers.append(optimizer)

    def _add_loose_parameters(self, name: str, optimizer: Optimizer) -> None:
        """Parameters of no model that was called are looked at as a model of their own."""
        known = {id(one) for model in self.models.values() for one in model.parameters()}
        loose = _LooseParameters()
        for group, options in enumerate(optimizer.param_groups):
            for place, one in enumerate(options["params"]):
                if id(one) not in known:
                    loose.tensors[f"{group}.{place}"] = one
        if loose.tensors:
            self.models[f"{name} parameters"] = loose

    def _claim_loose_parameters(self, module: nn.Module) -> None:
        """A step with a closure comes before the first forward, which shows whose they are."""
        known = {id(one) for one in module.parameters()}
        for name, loose in list(self.models.items()):
            if not isinstance(loose, _LooseParameters):
                continue
            loose.tensors = {key: one for key, one in loose.tensors.items() if id(one) not in known}
            if not loose.tensors:
                del self.models[name]


class _LooseParameters(nn.Module):
    """Tensors that are optimized without a module."""

    def __init__(self) -> None:
        super().__init__()
        self.tensors: dict[str, Tensor] = {}

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Any]]:  # noqa: ARG002
        yield from self.tensors.items()


def _is_active(call: FrameType | None, frame: FrameType | None) -> bool:
    """Whether ``call`` is among the callers of ``frame``; one that an exception ended is not."""
    while call is not None and frame is not None:
        if frame is call:
            return True
        frame = frame.f_back
    return False


def _has_tensors(module: nn.Module) -> bool:
    """A loss function or an activation has neither parameters nor buffers."""
    some = next(module.parameters(), None), next(module.buffers(), None)
    return any(one is not None for one in some)


def _free_name(name: str, taken: dict[str, Any]) -> str:
    if name not in taken:
        return name
    return next(f"{name} {n}" for n in count(2) if f"{name} {n}" not in taken)
