"""Observes the forwards of a script's models: of modules that no other module calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as torch_module

from harness.core.patch import patched

GLOBAL_HOOKS = (
    "_global_backward_pre_hooks",
    "_global_backward_hooks",
    "_global_forward_pre_hooks",
    "_global_forward_hooks",
)


class ForwardHooks:
    """Calls ``before(module)``, and ``after(module, args, kwargs, output)`` if there is one.

    Neither may raise. After an exception in the forward, the output is None. What torch compiles or
    traces is left alone: a hook would become a part of it.
    """

    def __init__(
        self,
        before: Callable[[nn.Module], None],
        after: Callable[[nn.Module, Any, Any, Any], None] | None,
    ) -> None:
        self.before, self.after = before, after
        self.depth = 0  # of nested forwards and backwards
        self.ids: set[int] = set()  # of the global hooks

    @contextmanager
    def install(self) -> Iterator[None]:
        before = torch_module.register_module_forward_pre_hook(self._enter)
        after = torch_module.register_module_forward_hook(
            self._leave, with_kwargs=True, always_call=True
        )
        self.ids = {before.id, after.id}
        try:
            # asked by a compiled model, which warns of any global hook
            with patched(torch_module, "_has_any_global_hook", self._has_other_hook):
                yield
        finally:
            before.remove()
            after.remove()
            torch_module._global_forward_hooks_with_kwargs.pop(after.id)  # torch forgets it

    @contextmanager
    def inside(self) -> Iterator[None]:
        """In this context, forwards do not count: a backward pass may repeat them."""
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    def _has_other_hook(self, original: Callable[[], bool]) -> Callable[[], bool]:  # noqa: ARG002
        return lambda: any(set(getattr(torch_module, name)) - self.ids for name in GLOBAL_HOOKS)

    def _enter(self, module: nn.Module, args: Any) -> None:  # noqa: ARG002
        if torch.compiler.is_compiling():
            return
        self.depth += 1
        if self.depth == 1 and _has_tensors(module):
            self.before(module)

    def _leave(self, module: nn.Module, args: Any, *rest: Any) -> None:
        """``rest`` is keyword arguments and output; only the output after an exception."""
        if torch.compiler.is_compiling():
            return
        self.depth -= 1
        if self.depth or self.after is None or torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
            return
        if _has_tensors(module):
            self.after(module, args, rest[0] if len(rest) > 1 else {}, rest[-1])


def _has_tensors(module: nn.Module) -> bool:
    """Whether a module has parameters or buffers; loss functions and activations have none."""
    return any(True for _ in chain(module.parameters(), module.buffers()))
