"""Reads the state of a script's training where it goes on after a step, and puts parts of it back.

The same places are visited in the uninterrupted training and in one that was resumed: a model's
parameters and buffers, schedulers and scalers before its first training forward, an optimizer's
state before its first step. Random generators are read at the end of the step before, and put back
whenever the resumed script has loaded a file or restored a state.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from harness.core.patch import patched
from harness.worker.torch_backend.checkpoint import generator_states, set_generator_states
from harness.worker.torch_backend.components import Bits
from harness.worker.torch_backend.hooks import TrainingHooks

# What a script calls to restore a state.
LOADING: tuple[tuple[Any, str], ...] = (
    (torch, "load"),
    (nn.Module, "load_state_dict"),
    (Optimizer, "load_state_dict"),
    (random, "setstate"),
    (np.random, "set_state"),
    (torch, "set_rng_state"),
    (torch.random, "set_rng_state"),
    (torch.cuda, "set_rng_state"),
    (torch.cuda, "set_rng_state_all"),
)
States = dict[str, dict[str, Any]]  # by part, and by name of its owner


class StateExchange:
    def __init__(
        self,
        hooks: TrainingHooks,
        begin: int,
        saved: Mapping[str, Mapping[str, Any]] | None = None,
        parts: Collection[str] = (),
    ) -> None:
        """Visit a training that goes on with step ``begin``, from 1.

        ``saved`` is what another exchange has found, of which ``parts`` are put back.
        """
        self.hooks, self.begin = hooks, begin
        self.saved, self.parts = saved, parts
        self.found: States = {}
        self.schedulers: list[Any] = []
        self.scalers: list[Any] = []
        self.has_loaded = False
        self.has_begun = False  # the first training forward
        self.is_writing = False  # the loading of a state is our own

    @contextmanager
    def install(self) -> Iterator[None]:
        with ExitStack() as patches:
            patches.enter_context(patched(LRScheduler, "__init__", self._noting(self.schedulers)))
            patches.enter_context(patched(GradScaler, "__init__", self._noting(self.scalers)))
            if self.saved is not None:
                for owner, name in LOADING:
                    patches.enter_context(patched(owner, name, self._after_loading))
            yield

    def at_forward(self, module: nn.Module) -> None:
        is_training = module.training and torch.is_grad_enabled()
        if self.hooks.steps < self.begin - 1 or not is_training:
            return
        if self.saved is not None and not self.has_loaded and not self.has_begun:
            self._exchange_generators()  # the script restores its state in a way of its own
        self.has_begun = True
        name = next(name for name, model in self.hooks.models.items() if model is module)
        parameters, buffers = dict(module.named_parameters()), dict(module.named_buffers())
        self._exchange("parameters", name, lambda: parameters, lambda new: _copy(parameters, new))
        if buffers:
            self._exchange("buffers", name, lambda: buffers, lambda new: _copy(buffers, new))
        stateful = {"scheduler": self.schedulers, "scaler": self.scalers}
        for kind, owners in stateful.items():
            for number, owner in enumerate(owners):
                self._exchange(kind, str(number), owner.state_dict, owner.load_state_dict)

    def before_step(self) -> None:
        if self.hooks.steps < self.begin - 1:
            return
        for name, optimizer in self.hooks.optimizers.items():
            self._exchange("optimizer", name, optimizer.state_dict, optimizer.load_state_dict)

    def after_step(self) -> None:
        if self.saved is None and self.hooks.steps == self.begin - 1:
            self._exchange_generators()

    def digests(self) -> dict[str, str]:
        """Return the digest of each part as it was found, before anything was put back."""
        result = {}
        for part, states in self.found.items():
            bits = Bits()
            bits.add(states, part)
            result[part] = bits.digest()
        return result

    def _exchange(
        self, part: str, name: str, read: Callable[[], Any], write: Callable[[Any], object]
    ) -> None:
        """Read a state at the first visit, and put back the saved one if it is asked for."""
        found = self.found.setdefault(part, {})
        if name in found:
            return
        found[name] = _copy_of(read())
        if part in self.parts and self.saved is not None and name in self.saved.get(part, {}):
            self.is_writing = True
            write(_copy_of(self.saved[part][name]))
            self.is_writing = False

    def _exchange_generators(self) -> None:
        for name, state in generator_states().items():
            part = f"{name.partition(':')[0]}_rng"
            self.found.setdefault(part, {})[name] = state
        if self.saved is not None:
            chosen = [self.saved.get(part, {}) for part in self.parts if part.endswith("_rng")]
            self.is_writing = True
            set_generator_states({name: one for states in chosen for name, one in states.items()})
            self.is_writing = False

    def _noting(self, owners: list[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def replace(original: Callable[..., Any]) -> Callable[..., Any]:
            def init(owner: Any, *args: Any, **kwargs: Any) -> None:
                if not any(owner is known for known in owners):  # its class may call its parent's
                    owners.append(owner)
                original(owner, *args, **kwargs)

            return init

        return replace

    def _after_loading(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def load(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            if not self.has_begun and not self.is_writing:
                self.has_loaded = True
                self._exchange_generators()
            return result

        return load


def _copy_of(state: Any) -> Any:
    with torch.no_grad():
        return deepcopy(state)


def _copy(current: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in current.items():
            if name in new and new[name].shape == tensor.shape:
                tensor.copy_(new[name])
