"""Observes the forwards of a script's models: of modules that no other module calls.

Torch's global hooks find them. Any hook makes torch call every module in a slower way, so the
global hooks are taken away while a model is inside its forward, and a hook of that model alone,
which is removed at once, puts them back: nested modules run as fast as without an observer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from torch import nn
from torch.nn.modules import module as torch_module
from torch.utils.hooks import RemovableHandle

from harness.worker.patch import patched

GLOBAL_HOOKS = (
    "_global_backward_pre_hooks",
    "_global_backward_hooks",
    "_global_forward_pre_hooks",
    "_global_forward_hooks",
)


class ForwardHooks:
    """Calls ``before(module)``, and ``after(module, args, kwargs, output)`` if there is one.

    Neither may raise. After an exception in the forward, the output is None.
    """

    def __init__(
        self,
        before: Callable[[nn.Module], None],
        after: Callable[[nn.Module, Any, Any, Any], None] | None,
    ) -> None:
        self.before, self.after = before, after
        self.depth = 0  # of nested forwards and backwards
        self.ids: tuple[int, int] = (0, 0)  # of the global hooks, before and after a forward
        self.used: list[RemovableHandle] = []  # of a model whose forward has failed

    @contextmanager
    def install(self) -> Iterator[None]:
        before = torch_module.register_module_forward_pre_hook(self._enter)
        after = torch_module.register_module_forward_hook(
            self._leave, with_kwargs=True, always_call=True
        )
        self.ids = before.id, after.id
        try:
            # asked by a compiled model, which warns of any global hook
            with patched(torch_module, "_has_any_global_hook", self._has_other_hook):
                yield
        finally:
            _remove(self.used)
            self._resume()
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

    def _suspend(self) -> None:
        """Take the global hooks away; registering them anew each time would leak torch's memory."""
        torch_module._global_forward_pre_hooks.pop(self.ids[0], None)
        torch_module._global_forward_hooks.pop(self.ids[1], None)

    def _resume(self) -> None:
        torch_module._global_forward_pre_hooks[self.ids[0]] = self._enter
        torch_module._global_forward_hooks[self.ids[1]] = self._leave

    def _has_other_hook(self, original: Callable[[], bool]) -> Callable[[], bool]:  # noqa: ARG002
        return lambda: any(
            set(getattr(torch_module, name)) - set(self.ids) for name in GLOBAL_HOOKS
        )

    def _enter(self, module: nn.Module, args: Any) -> None:  # noqa: ARG002
        self.depth += 1
        if self.depth > 1 or not _has_tensors(module):
            return
        self.before(module)
        _remove(self.used)

        def leave(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            self._resume()
            if output is None:  # the forward has failed: torch is iterating over these hooks
                self.used.append(handle)
            else:
                handle.remove()
            self._leave(module, args, kwargs, output)

        try:
            handle = module.register_forward_hook(leave, with_kwargs=True, always_call=True)
        except RuntimeError:  # a ScriptModule's hooks are part of its program: observe it slowly
            return
        self._suspend()

    def _leave(self, module: nn.Module, args: Any, *rest: Any) -> None:
        """``rest`` is keyword arguments and output; only the output after an exception."""
        self.depth -= 1
        if self.depth == 0 and self.after is not None and _has_tensors(module):
            self.after(module, args, rest[0] if len(rest) > 1 else {}, rest[-1])


def _has_tensors(module: nn.Module) -> bool:
    """Whether a module has parameters or buffers; loss functions and activations have none."""
    return any(True for _ in chain(module.parameters(), module.buffers()))


def _remove(handles: list[RemovableHandle]) -> None:
    for handle in handles:
        handle.remove()
    handles.clear()
