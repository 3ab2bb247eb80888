"""Collects a script's models, optimizers, inputs and losses through torch's global hooks.

The script is not changed, and no error of a hook reaches it: the first one is kept, observation
stops, and ``check`` raises it after the training. Torch calls global hooks around every module's
forward and every optimizer's step, whoever wrote the training loop. The step of any optimizer ends
a training step. In a script without an optimizer, which updates its parameters by itself, a step is
a backward pass and all that follows it until the next forward or backward pass.

Losses are the tensors at which a backward starts, or what the script reports. Inputs and losses
stay until a new forward, backward or report follows a step, so that several optimizers that step
after one backward share them.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from harness.core.errors import ObserverError
from harness.core.observe import listeners
from harness.core.patch import patched
from harness.worker.torch_backend.components import Bits
from harness.worker.torch_backend.forward_hooks import ForwardHooks
from harness.worker.torch_backend.inputs import InputDigests
from harness.worker.torch_backend.loose_parameters import track_leaves
from harness.worker.torch_backend.tracked_state import TrackedState

# The frame of torch that calls the hooks and the step, seen from a hook: beyond its guard.
TORCH_WRAPPER = 2


class TrainingHooks:
    """The training of a script, as observed so far: the counterpart of a scenario's training."""

    def __init__(self, inputs: InputDigests | None = None) -> None:
        """Inputs are digested as they are seen, and never kept; without ``inputs``, not at all."""
        self.error: Exception | None = None  # the first one in a hook
        self.state = TrackedState()
        self.inputs = inputs
        after = None if inputs is None else self._guard(self._leave_model)
        self.forwards = ForwardHooks(self._guard(self._enter_model), after)
        self.losses: list[Tensor] = []  # roots of backwards since the last step
        self.reported: list[Tensor] = []  # losses that the script reported since the last step
        self.declared: dict[str, list[str]] = {}  # digests of the script's other results, by name
        self.undigested: set[str] = set()  # what has no defined bits among these results
        self.steps = 0
        self.manual_steps = 0  # those without an optimizer
        self.has_optimizer = False  # the script has made one, so that its steps are those of it
        self.is_open = False  # a backward without an optimizer has begun a step
        self.is_used = False  # a step has used the current inputs and losses
        self.step_frame: FrameType | None = None  # of the outermost optimizer step in progress
        self.nested: list[Optimizer] = []  # optimizers that have stepped inside that step
        self.trainers = WeakSet[threading.Thread]()  # threads that have called a backward
        self.last_trainer: threading.Thread | None = None  # the last of them

    @property
    def models(self) -> Mapping[str, nn.Module]:
        return self.state.models

    @property
    def optimizers(self) -> Mapping[str, Optimizer]:
        return self.state.optimizers

    @contextmanager
    def install(
        self,
        before_step: Callable[[], None] = lambda: None,
        after_step: Callable[[], None] = lambda: None,
        at_forward: Callable[[nn.Module], None] = lambda _: None,
        after_backward: Callable[[Sequence[Tensor] | None], None] = lambda _: None,
    ) -> Iterator[None]:
        """Install the hooks. ``at_forward`` is called before each forward of a model.

        ``after_backward`` is called after each backward of a script without an optimizer, with the
        gradients that it returned, or None if they were accumulated in the parameters.
        """
        self.before_step, self.after_step, self.at_forward = before_step, after_step, at_forward
        self.after_backward = after_backward
        with ExitStack() as hooks:
            for handle in (
                register_optimizer_step_pre_hook(self._guard(self.begin_step)),
                register_optimizer_step_post_hook(self._guard(self._end_step)),
            ):
                hooks.callback(handle.remove)
            hooks.enter_context(self.forwards.install())
            hooks.enter_context(patched(torch.autograd, "backward", self._observe_backward))
            hooks.enter_context(patched(torch.autograd, "grad", self._observe_backward))
            hooks.enter_context(patched(Optimizer, "__init__", self._notice_optimizer))
            receive = self._guard(self._receive)
            listeners.append(receive)
            hooks.callback(listeners.remove, receive)
            yield
            self._guard(self._end_manual_step)()

    def _guard(self, hook: Callable[..., None]) -> Callable[..., None]:
        """The hook, without effect on the training if it fails, and off after the first failure."""

        def guarded(*args: Any) -> None:
            if self.error is not None:
                return
            try:
                hook(*args)
            except Exception as error:  # noqa: BLE001 - whatever it is, the training goes on
                self.error = error

        return guarded

    def check(self) -> None:
        """Raises ObserverError if a hook has failed."""
        if self.error is not None:
            reason = f"{type(self.error).__name__}: {self.error}"
            message = f"observation stopped at step {self.steps + 1} by {reason}"
            raise ObserverError(message) from self.error
        if self.forwards.depth:  # by an exception for which torch calls no hooks: KeyboardInterrupt
            raise ObserverError("a forward was interrupted, and nothing was observed after it")

    def _receive(self, name: str, value: Any) -> None:
        """Take what the script declares by ``harness.observe``."""
        if name == "loss":
            self._receive_loss(value)
        else:
            bits = Bits()
            bits.add(value, name)
            self.declared.setdefault(name, []).append(bits.digest())
            self.undigested |= {f"{kind} in the observed {name}" for kind in bits.undigested}

    def _receive_loss(self, loss: Any) -> None:
        if self.reported:  # else it may be the loss of a step without an optimizer, still open
            self._end_manual_step()
        self._discard_used()
        self.reported.append(torch.as_tensor(loss).detach().clone())

    @property
    def last_losses(self) -> list[Tensor]:
        """The last loss of this step, if any. Losses that the script reports take precedence."""
        return (self.reported or self.losses)[-1:]

    def _observe_backward(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """``torch.autograd.backward``, which ``Tensor.backward`` calls too, or ``grad``."""
        begin, end = self._guard(self._begin_backward), self._guard(self._end_backward)
        note_thread = self._guard(self._note_thread)

        def backward(roots: Any, *args: Any, **kwargs: Any) -> Any:
            note_thread()
            if isinstance(roots, Iterator):  # it can be read only once
                roots = list(roots)
            # one inside another recomputes activations
            is_observed = self.forwards.depth == 0 and (
                original.__name__ == "backward" or self._is_step_of_grad(args, kwargs)
            )
            if is_observed:
                begin(roots)
            with self.forwards.inside():
                grads = original(roots, *args, **kwargs)
            if is_observed:
                end(grads)
            return grads

        return backward

    def _is_step_of_grad(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Whether ``torch.autograd.grad`` returns what a script without an optimizer will use.

        With an optimizer, or for another backward pass, it computes a part of the loss.
        """
        create_graph = args[3] if len(args) > 3 else kwargs.get("create_graph", False)
        return not self.has_optimizer and not create_graph

    def _notice_optimizer(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def init(optimizer: Optimizer, *args: Any, **kwargs: Any) -> None:
            self.has_optimizer = True
            original(optimizer, *args, **kwargs)

        return init

    def _note_thread(self) -> None:
        """Raises RuntimeError if backward passes of two threads alternate.

        A thread may train after another one, and again when that one has ended.
        """
        thread, last = threading.current_thread(), self.last_trainer
        if thread is last or isinstance(thread, threading._DummyThread):  # of autograd itself
            return
        if thread in self.trainers and last is not None and last.is_alive():
            raise RuntimeError("training in several threads at once is not supported")
        self.trainers.add(thread)
        self.last_trainer = thread

    def _begin_backward(self, tensors: Any) -> None:
        """Keep the roots of a backward that are tensors; a GradientEdge has no value."""
        self._end_manual_step()
        self._discard_used()
        given = [tensors] if isinstance(tensors, Tensor) else tensors
        roots = [root for root in given if isinstance(root, Tensor)]
        self.losses += [root.detach() for root in roots]
        if not self.has_optimizer:
            track_leaves(self.state.models, roots)
            self.before_step()

    def _end_backward(self, grads: Sequence[Tensor] | None) -> None:
        if not self.has_optimizer:
            self.is_open = True
            self.after_backward(grads)

    def _end_manual_step(self) -> None:
        """End the step that a backward without an optimizer began, if any."""
        if not self.is_open:
            return
        self.is_open = False
        self.steps += 1
        self.manual_steps += 1
        self.after_step()
        self.is_used = True

    def _discard_used(self) -> None:
        """Discard inputs and losses that a step has used."""
        if not self.is_used:
            return
        self.is_used = False
        if self.inputs is not None:
            self.inputs.clear()
        self.losses.clear()
        self.reported.clear()

    def _enter_model(self, module: nn.Module) -> None:
        self._end_manual_step()
        self._discard_used()
        self.state.add_model(module)
        self.at_forward(module)

    def _leave_model(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:  # noqa: ARG002
        assert self.inputs is not None
        self.inputs.add((args, kwargs), output)

    def begin_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:  # noqa: ARG002
        """Start a training step, unless this step is nested in another one: an optimizer may wrap
        another, and a subclass may call its parent's step.
        """
        self.is_open = False  # the backward belongs to this step
        if not self.has_optimizer:  # made in a way that its constructor did not see
            self.has_optimizer = True
            self.state.forget_leaves()
        self.state.add_optimizer(optimizer)
        caller = sys._getframe(TORCH_WRAPPER)
        if not _is_active(self.step_frame, caller):
            self.step_frame = caller
            self.nested.clear()
            self.before_step()

    def _end_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:  # noqa: ARG002
        """End the training step, unless this step is nested in another one.

        A step that a GradScaler has a fused optimizer skip inside its kernel counts: detecting it
        would require a device synchronization.
        """
        if self.step_frame is not sys._getframe(TORCH_WRAPPER):
            self.nested.append(optimizer)
            return
        if not optimizer.state and any(inner is not optimizer for inner in self.nested):
            self.state.drop_wrapper(optimizer)
        self.nested.clear()
        self.step_frame = None
        self.steps += 1
        self.after_step()
        self.is_used = True


def _is_active(call: FrameType | None, frame: FrameType | None) -> bool:
    """Whether ``call`` is ``frame`` or one of its callers; false if an exception has ended it."""
    while call is not None and frame is not None:
        if frame is call:
            return True
        frame = frame.f_back
    return False
