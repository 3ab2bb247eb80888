"""The models and optimizers of a script, as far as they were observed.

They are held so that their state can be digested when the script has ended. Those of an earlier
training, such as the last fold of a cross-validation, are let go once the script has dropped them.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Mapping
from itertools import chain, count
from typing import TypeVar

from torch import nn
from torch.optim import Optimizer

from harness.worker.torch_backend.loose_parameters import (
    LEAVES,
    LooseParameters,
    claim,
    label_of,
    track_optimized,
)

Tracked = TypeVar("Tracked", nn.Module, Optimizer)


class TrackedState:
    def __init__(self) -> None:
        self.models: dict[str, nn.Module] = {}  # called directly, not by another module
        self.optimizers: dict[str, Optimizer] = {}
        self.wrappers: list[Optimizer] = []  # stateless optimizers that delegate to another one
        self.group_sizes: dict[str, list[int]] = {}  # parameters of each group, by optimizer

    def add_model(self, module: nn.Module) -> None:
        if any(module is model for model in self.models.values()):
            return
        self.models[_free_name(type(module).__name__, self.models)] = module
        claim(self.models, module)
        if not self.optimizers:
            self._release_dropped(len(self.models))

    def add_optimizer(self, optimizer: Optimizer) -> None:
        """Track an optimizer that steps, and parameters of any optimizer that no model has."""
        if not any(optimizer is known for known in chain(self.optimizers.values(), self.wrappers)):
            name = _free_name(type(optimizer).__name__, self.optimizers)
            self.optimizers[name] = optimizer
            self._release_dropped(len(self.optimizers))
        for name, known in self.optimizers.items():
            sizes = [len(group["params"]) for group in known.param_groups]
            if self.group_sizes.get(name) != sizes:  # also after add_param_group
                self.group_sizes[name] = sizes
                track_optimized(self.models, name, known)

    def forget_leaves(self) -> None:
        """Stop tracking the leaves of graphs: the script has an optimizer after all."""
        self.models.pop(LEAVES, None)

    def drop_wrapper(self, optimizer: Optimizer) -> None:
        """Stop tracking an optimizer that wraps another and has no state itself: the inner one is
        tracked, and ZeroRedundancyOptimizer can return a state only at a checkpoint.
        """
        for name, known in list(self.optimizers.items()):
            if known is optimizer:
                del self.optimizers[name]
                self.wrappers.append(optimizer)

    def _release_dropped(self, number: int) -> None:
        """Release models and optimizers that the script no longer refers to, if there are several.

        Only at powers of two of their number: looking for reference cycles takes a tenth of a
        second, and a script may call hundreds of models.
        """
        if number < 2 or number & (number - 1):
            return
        loose = {name: one for name, one in self.models.items() if isinstance(one, LooseParameters)}
        modules = _weak({name: one for name, one in self.models.items() if name not in loose})
        optimizers = _weak(self.optimizers)
        wrappers = [weakref.ref(wrapper) for wrapper in self.wrappers]
        self.models, self.optimizers, self.wrappers = {}, {}, []
        gc.collect()
        self.optimizers = _alive(optimizers)
        self.wrappers = [wrapper for reference in wrappers if (wrapper := reference()) is not None]
        self.group_sizes = {name: self.group_sizes.get(name, []) for name in self.optimizers}
        labels = {LEAVES, *map(label_of, self.optimizers)}
        kept = {name: one for name, one in loose.items() if name in labels}
        self.models = {**_alive(modules), **kept}


def _weak(named: Mapping[str, Tracked]) -> dict[str, weakref.ref[Tracked]]:
    return {name: weakref.ref(one) for name, one in named.items()}


def _alive(named: Mapping[str, weakref.ref[Tracked]]) -> dict[str, Tracked]:
    found = ((name, reference()) for name, reference in named.items())
    return {name: one for name, one in found if one is not None}


def _free_name(name: str, taken: Mapping[str, object]) -> str:
    if name not in taken:
        return name
    return next(f"{name} {n}" for n in count(2) if f"{name} {n}" not in taken)
