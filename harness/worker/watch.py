"""Every operation that torch dispatches in a window of steps, with digests of what goes in and out.

A dispatch mode sees forward, backward and optimizer alike, below autograd and autocast. An
operation of the backward belongs to the node of the graph that its forward made: both carry one
sequence number, which is how it gets that forward's module and source line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harness.operations import Operation
from harness.scrub import portable_path
from harness.worker.digest import digest
from harness.worker.memory import UNWRITTEN
from scenarios.base import Training

DIGESTED = (torch.strided, torch.sparse_coo, torch.sparse_csr, torch.sparse_bsr)
# Arguments that print as what they are, and not as an address.
PLAIN = (bool, int, float, complex, str, type(None), torch.dtype, torch.device, torch.layout,
         torch.memory_format)  # fmt: skip
ROOT = Path(__file__).resolve().parent.parent.parent
OWN = (str(Path(torch.__file__).parent), f"{ROOT}/harness/", "<")
NO_RECORD = ("profiler::",)  # marks of torch's own profiler
# What these return at these places is workspace, not all of which is ever written.
SCRATCH = {
    "aten::mkldnn_rnn_layer": (3,),
    "aten::_cudnn_rnn": (3,),
    "aten::cudnn_batch_norm": (3,),
    "aten::_batch_norm_with_update": (3,),
}
# Fill ``self`` without reading it.
FILLING = tuple(f"aten::{name}_" for name in (
    "zero", "fill", "copy", "normal", "uniform", "random", "exponential", "geometric", "log_normal",
    "cauchy", "bernoulli", "eye", "set",
))  # fmt: skip


class Watch(TorchDispatchMode):
    """Keeps the operations of the steps that it is entered for."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []
        self.names: dict[int, str] = {}  # by identity of the module
        self.step = 0
        self.outside_step = "data"  # the phase of what is not the step itself
        self.in_step = False
        self.in_optimizer = 0
        self.modules: list[str] = []
        self.forwards: dict[int, tuple[str, str]] = {}  # sequence number to module and source
        self.fresh: set[int] = set()  # storages that nothing has written to
        self.scratch: set[int] = set()  # storages that only a backward of the same kind reads

    def know(self, training: Training) -> None:
        """Modules are named by their paths in the training's models."""
        for model, root in training.models.items():
            for path, module in root.named_modules():
                self.names[id(module)] = ".".join(filter(None, (model, path)))

    @contextmanager
    def of_step(self, number: int) -> Iterator[None]:
        """Watches from the fetching of step ``number``'s batch to its end."""
        self.step = number
        self.outside_step = "data" if number else "build"
        with ExitStack() as hooks:
            for handle in (
                nn.modules.module.register_module_forward_pre_hook(self.enter_module),
                nn.modules.module.register_module_forward_hook(
                    self.leave_module,
                    always_call=True,  # also where a forward raises
                ),
                register_optimizer_step_pre_hook(self.enter_optimizer),
                register_optimizer_step_post_hook(self.leave_optimizer),
            ):
                hooks.callback(handle.remove)
            hooks.enter_context(self)
            yield
        self.modules.clear()

    @contextmanager
    def step_itself(self) -> Iterator[None]:
        """From here on it is the step, no longer the fetching of its batch."""
        self.in_step = True
        yield
        self.in_step = False

    def enter_module(self, module: nn.Module, args: Any) -> None:  # noqa: ARG002
        self.modules.append(self.names.get(id(module), type(module).__name__))

    def leave_module(self, module: nn.Module, args: Any, output: Any) -> None:  # noqa: ARG002
        self.modules.pop()

    def enter_optimizer(self, optimizer: Any, args: Any, kwargs: Any) -> None:  # noqa: ARG002
        self.in_optimizer += 1

    def leave_optimizer(self, optimizer: Any, args: Any, kwargs: Any) -> None:  # noqa: ARG002
        self.in_optimizer -= 1

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func.name().startswith(NO_RECORD):
            return func(*args, **kwargs)
        phase, module, source = self.whereabouts()
        read = arguments_read(func, args, kwargs)
        read = [one for one in read if storage_of(one) not in self.scratch]
        reads_fresh = not func.is_view and any(storage_of(one) in self.fresh for one in read)
        inputs = self.digest_of_inputs(func, read)
        output = func(*args, **kwargs)
        returned, scratch = without_scratch(func, tree_leaves(output))
        given = [*returned, *arguments_written(func, args, kwargs)]
        outputs = self.digest_of_outputs(func, given)
        self.operations.append(
            Operation(self.step, phase, module, str(func), source, inputs, outputs, reads_fresh)
        )
        self.note_memory(func, given, scratch)
        return output

    def whereabouts(self) -> tuple[str, str, str]:
        """Phase, module path and source line of the operation that is being dispatched."""
        node: Any = torch._C._current_autograd_node()  # None outside of a backward
        if node is not None:
            module, source = self.forwards.get(node._sequence_nr(), ("", ""))
            return "backward", module, source or node.name()
        module = self.modules[-1] if self.modules else ""
        source = source_line()
        if torch._C._current_graph_task_id() != -1:
            return "backward", module, source
        if self.in_optimizer:
            return "optimizer", module, source
        # The first operation after a node was made is the node's own.
        self.forwards.setdefault(torch._C._autograd._get_sequence_nr() - 1, (module, source))
        return (self.outside_step if not self.in_step else "forward"), module, source

    def digest_of_inputs(self, func: Any, read: list[Any]) -> str:
        """Of a view only the plain arguments: its elements are read by whoever uses it."""
        tensors = [one for one in read if isinstance(one, Tensor)]
        named = [] if func.is_view else list(enumerate(tensors))
        if torch.Tag.nondeterministic_seeded in func.tags:
            named += list(enumerate(generators(read, tensors), len(named)))
        return digest_of(named, read)

    def digest_of_outputs(self, func: Any, given: list[Any]) -> str:
        if func.is_view or func.name().startswith(UNWRITTEN):
            return ""
        return digest_of([(n, x) for n, x in enumerate(given) if isinstance(x, Tensor)], given)

    def note_memory(self, func: Any, given: list[Any], scratch: list[Any]) -> None:
        """Memory is fresh from its allocation to the first operation that writes into it."""
        if func.is_view:
            return
        places = set(filter(None, map(storage_of, given)))
        self.scratch = (self.scratch - places) | set(filter(None, map(storage_of, scratch)))
        for place in places:
            if func.name().startswith(UNWRITTEN):
                self.fresh.add(place)
            else:
                self.fresh.discard(place)


def without_scratch(func: Any, returned: list[Any]) -> tuple[list[Any], list[Any]]:
    """What an operation returns, and what it keeps for its backward in a form of its own."""
    places = SCRATCH.get(func.name(), ())
    kept = [one for place, one in enumerate(returned) if place not in places]
    return kept, [returned[place] for place in places if place < len(returned)]


def arguments_read(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    """Every leaf of the arguments but those that are only written into."""
    found: list[Any] = []
    for argument, value in arguments(func, args, kwargs):
        if not is_overwritten(func, argument):
            found += tree_leaves(value)
    return found


def arguments_written(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = []
    for argument, value in arguments(func, args, kwargs):
        if argument.alias_info is not None and argument.alias_info.is_write:
            found += tree_leaves(value)
    return found


def arguments(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[Any]:
    """Pairs of the operation's declared arguments with what was given for them."""
    schema = func._schema.arguments
    yield from zip(schema, args, strict=False)
    yield from ((one, kwargs[one.name]) for one in schema[len(args) :] if one.name in kwargs)


def is_overwritten(func: Any, argument: Any) -> bool:
    """Whether what an argument held before plays no part: ``out=``, and what fills a tensor."""
    if argument.alias_info is None or not argument.alias_info.is_write:
        return False
    is_filled = argument.name == "self" and func.name().startswith(FILLING)
    return bool(argument.is_out or is_filled)


def digest_of(tensors: list[tuple[int, Tensor]], leaves: list[Any]) -> str:
    """Of the tensors that have defined bytes, and of plain values by what they print as."""
    named = [(str(n), one) for n, one in tensors if has_digest(one)]
    return digest(named, {"plain": [repr(one) for one in leaves if isinstance(one, PLAIN)]})


def has_digest(tensor: Tensor) -> bool:
    return type(tensor) in (Tensor, nn.Parameter) and not tensor.is_meta and not (
        tensor.is_quantized or tensor.layout not in DIGESTED
    )  # fmt: skip


def generators(leaves: list[Any], tensors: list[Tensor]) -> list[Tensor]:
    """States of the generators that an operation may draw from: its own, or its device's."""
    own = [one.get_state() for one in leaves if isinstance(one, torch.Generator)]
    if own:
        return own
    devices = {one.device for one in tensors} | {x for x in leaves if isinstance(x, torch.device)}
    states = [torch.cuda.get_rng_state(one) for one in devices if one.type == "cuda"]
    return states or [torch.get_rng_state()]


def storage_of(value: Any) -> int | None:
    """The address of a tensor's memory; None where it has none of its own."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_meta:
        return None
    return value.untyped_storage().data_ptr() or None


def source_line() -> str:
    """The innermost frame that is neither torch's nor the harness's: ``file:line``."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(OWN):
            return f"{shown(name)}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


@cache
def shown(name: str) -> str:
    """A file of ours by its place in the project, any other one relative to here or to home."""
    path = Path(name)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else portable_path(path)
