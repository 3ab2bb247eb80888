"""Every operation that torch dispatches in a window of steps, with digests of what goes in and out.

A dispatch mode sees forward, backward and optimizer alike, below autograd and autocast. An
operation of the backward belongs to the node of the graph that its forward made: both carry one
sequence number, which is how it gets that forward's module and source line.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
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

from harness.core.op_log import Operation
from harness.core.paths import IMPORT_ROOT, PACKAGE, SCENARIOS
from harness.core.redact import portable_path
from harness.worker.torch_backend.components import TrainingState
from harness.worker.torch_backend.digest import dense_parts, digest
from harness.worker.torch_backend.op_schema import OpSchema, schema_of
from harness.worker.torch_backend.snapshot import to_storable

DIGESTED = (torch.strided, torch.sparse_coo, torch.sparse_csr, torch.sparse_bsr)
# Arguments that print as what they are, and not as an address.
PLAIN = (
    bool,
    int,
    float,
    complex,
    str,
    type(None),
    torch.dtype,
    torch.device,
    torch.layout,
    torch.memory_format,
)
# Unpickles what DataLoader workers send, whenever it comes: what they did is not traced, and their
# tensors are inputs of whoever reads them.
UNPICKLING = str(Path(torch.__file__).parent / "multiprocessing" / "reductions.py")
TORCH = f"{Path(torch.__file__).parent}/"


class OpRecorder(TorchDispatchMode):
    """Keeps the operations that are dispatched while it is entered and on."""

    def __init__(self, keep: int | None = None) -> None:
        """``keep`` is the place in the log of the operation whose tensors are kept."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []
        self.keep = keep
        self.kept: dict[str, Tensor] = {}
        self.names: dict[int, str] = {}  # by identity of the module
        self.is_on = True
        self.step = 0
        self.phase = "data"  # of what is neither backward nor optimizer
        self.in_optimizer = 0
        self.hooks = ExitStack()
        self.modules: list[str] = []
        self.forwards: dict[int, tuple[str, str]] = {}  # sequence number to module and source
        self.fresh: set[int] = set()  # storages that nothing has written to
        self.scratch: set[int] = set()  # storages that only a backward of the same kind reads

    def name_modules(self, training: TrainingState) -> None:
        """Modules are named by their paths in the training's models."""
        for model, root in training.models.items():
            for path, module in root.named_modules():
                self.names[id(module)] = ".".join(filter(None, (model, path)))

    @contextmanager
    def record_step(self, number: int) -> Iterator[None]:
        """Watches from the fetching of step ``number``'s batch to its end."""
        self.step = number
        self.phase = "data" if number else "build"
        with self:
            yield

    def begin_step(self) -> None:
        """From here on it is the step, no longer the fetching of its batch."""
        self.phase = "forward"

    def __enter__(self) -> OpRecorder:
        for handle in (
            nn.modules.module.register_module_forward_pre_hook(self.enter_module),
            nn.modules.module.register_module_forward_hook(
                self.leave_module,
                always_call=True,  # also where a forward raises
            ),
            register_optimizer_step_pre_hook(self._enter_optimizer),
            register_optimizer_step_post_hook(self._leave_optimizer),
        ):
            self.hooks.callback(handle.remove)
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)  # type: ignore[no-untyped-call]
        self.hooks.close()
        self.modules.clear()

    def enter_module(self, module: nn.Module, args: Any) -> None:  # noqa: ARG002
        self.modules.append(self.names.get(id(module), type(module).__name__))

    def leave_module(self, module: nn.Module, args: Any, output: Any) -> None:  # noqa: ARG002
        self.modules.pop()

    def _enter_optimizer(self, optimizer: Any, args: Any, kwargs: Any) -> None:  # noqa: ARG002
        self.in_optimizer += 1

    def _leave_optimizer(self, optimizer: Any, args: Any, kwargs: Any) -> None:  # noqa: ARG002
        self.in_optimizer -= 1

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        form = schema_of(func)
        if form.is_ignored or not self.is_on:
            return func(*args, **kwargs)
        phase, module, source = self._locate()
        if source is None:
            return func(*args, **kwargs)
        read = form.inputs(args, kwargs)
        if self.scratch:
            read = [one for one in read if _storage_address(one) not in self.scratch]
        reads_fresh = not form.is_view and any(_storage_address(one) in self.fresh for one in read)
        inputs = _digest_inputs(form, read)
        output = func(*args, **kwargs)
        returned, scratch = form.split_workspace(output)
        given = [*returned, *form.mutated_leaves(args, kwargs)]
        outputs = (
            "" if form.has_no_output_bytes else _digest_leaves(_digestible_tensors(given), given)
        )
        if len(self.operations) == self.keep:
            parts = (
                part for n, one in _digestible_tensors(given) for part in dense_parts(str(n), one)
            )
            self.kept = {name: to_storable(part) for name, part in parts}
        self.operations.append(
            Operation(self.step, phase, module, form.name, source, inputs, outputs, reads_fresh)
        )
        if not form.is_view:
            self._track_memory(form, given, scratch)
        return output

    def _locate(self) -> tuple[str, str, str | None]:
        """Phase, module path and source line of the operation that is being dispatched; no line
        where it only takes in what another process has sent.
        """
        node: Any = torch._C._current_autograd_node()  # None outside of a backward
        if node is not None:
            module, line = self.forwards.get(node._sequence_nr(), ("", ""))
            return "backward", module, line or node.name()
        module = self.modules[-1] if self.modules else ""
        source = _source_line()
        if source is None:
            return "", "", None
        if torch._C._current_graph_task_id() != -1:
            return "backward", module, source
        if self.in_optimizer:
            return "optimizer", module, source
        # The first operation after a node was made is the node's own.
        self.forwards.setdefault(torch._C._autograd._get_sequence_nr() - 1, (module, source))
        return self.phase, module, source

    def _track_memory(self, form: OpSchema, given: list[Any], scratch: list[Any]) -> None:
        """Memory is fresh from its allocation to the first operation that writes into it."""
        places = set(filter(None, map(_storage_address, given)))
        self.scratch = (self.scratch - places) | set(filter(None, map(_storage_address, scratch)))
        if form.allocates:
            self.fresh |= places
        else:
            self.fresh -= places


def _digest_inputs(form: OpSchema, read: list[Any]) -> str:
    """Of a view only the plain arguments: its elements are read by whoever uses it."""
    named = [] if form.is_view else _digestible_tensors(read)
    if form.draws_random:
        named += enumerate(_generator_tensors(read), len(named))
    return _digest_leaves(named, read)


def _digestible_tensors(leaves: list[Any]) -> list[tuple[int, Tensor]]:
    """Those that have defined bytes, with their places among the leaves."""
    return [(n, one) for n, one in enumerate(leaves) if _has_digest(one)]


def _digest_leaves(tensors: list[tuple[int, Tensor]], leaves: list[Any]) -> str:
    """Of tensors by their bytes, and of plain values by what they print as."""
    plain = [repr(one) for one in leaves if isinstance(one, PLAIN)]
    named = [(str(n), one) for n, one in tensors]
    return digest(named, {"plain": plain} if plain else None)


def _has_digest(value: Any) -> bool:
    return type(value) in (Tensor, nn.Parameter) and not (
        value.layout not in DIGESTED or value.is_meta or value.is_quantized
    )


def _generator_tensors(leaves: list[Any]) -> list[Tensor]:
    """States of the generators that an operation may draw from: its own, or its device's."""
    own = [one.get_state() for one in leaves if isinstance(one, torch.Generator)]
    if own:
        return own
    devices = {one.device for one in leaves if isinstance(one, Tensor)}
    devices |= {one for one in leaves if isinstance(one, torch.device)}
    states = [torch.cuda.get_rng_state(one) for one in devices if one.type == "cuda"]
    return states or [torch.get_rng_state()]


def _storage_address(value: Any) -> int | None:
    """The address of a tensor's memory; None where it has none of its own."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_meta:
        return None
    return value.untyped_storage().data_ptr() or None


def _source_line() -> str | None:
    """The innermost frame that is neither torch's nor the harness's: ``file:line``."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if name == UNPICKLING:
            return None
        if not name.startswith((TORCH, "<")) and not _is_harness_file(name):
            return f"{_display_path(name)}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


@cache
def _display_path(name: str) -> str:
    """A file of ours by its place in the project, any other one relative to here or to home."""
    path = Path(name)
    if path.is_relative_to(IMPORT_ROOT):
        return str(path.relative_to(IMPORT_ROOT))
    return portable_path(path)


@cache
def _is_harness_file(name: str) -> bool:
    """Whether a file only observes: shipped scenarios and their base classes are the training."""
    path = Path(name)
    trained = path.is_relative_to(SCENARIOS) or path.name in ("scenario.py", "keras_scenario.py")
    return path.is_relative_to(PACKAGE) and not trained
