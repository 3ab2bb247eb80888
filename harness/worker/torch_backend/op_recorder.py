"""Records every operation that torch dispatches, with digests of its inputs and outputs.

A dispatch mode covers forward, backward and optimizer, below autograd and autocast. A backward
operation runs in the autograd node that its forward created. Both have the same sequence number,
through which the backward operation gets the module and source line of its forward.
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
from torch.utils._python_dispatch import TorchDispatchMode, _push_mode

from harness.core.op_log import Operation
from harness.core.paths import IMPORT_ROOT, PACKAGE, SCENARIOS
from harness.core.redact import portable_path
from harness.worker.torch_backend.components import TrainingState
from harness.worker.torch_backend.digest import dense_parts, digest
from harness.worker.torch_backend.op_schema import OpSchema, schema_of
from harness.worker.torch_backend.snapshot import to_storable

DIGESTED = (torch.strided, torch.sparse_coo, torch.sparse_csr, torch.sparse_bsr)
# Arguments whose repr is their value and not an address.
REPR_TYPES = (
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
# Unpickles tensors from DataLoader workers, at unpredictable times. Work in those processes is not
# recorded; their tensors are inputs of the operations that read them.
UNPICKLING = str(Path(torch.__file__).parent / "multiprocessing" / "reductions.py")
TORCH = f"{Path(torch.__file__).parent}/"


class OpRecorder(TorchDispatchMode):
    """Records the operations dispatched inside its context while ``is_on``."""

    def __init__(self, keep: int | None = None) -> None:
        """``keep`` is the index of the operation whose output tensors are stored in ``kept``."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []
        self.keep = keep
        self.kept: dict[str, Tensor] = {}
        self.names: dict[int, str] = {}  # id of a module to its path
        self.is_on = True
        self.step = 0
        self.phase = "data"  # of operations outside backward and optimizer
        self.in_optimizer = 0
        self.hooks = ExitStack()
        self.modules: list[str] = []
        self.forwards: dict[int, tuple[str, str]] = {}  # sequence number to module and source
        self.fresh: dict[int, str] = {}  # address of an unwritten storage to digest of its bytes
        self.scratch: set[int] = set()  # addresses of storages that only their backward reads

    def name_modules(self, training: TrainingState) -> None:
        """Name modules by their paths in the training's models."""
        for model, root in training.models.items():
            for path, module in root.named_modules():
                self.names[id(module)] = ".".join(filter(None, (model, path)))

    @contextmanager
    def record_step(self, number: int) -> Iterator[None]:
        """Record step ``number`` from the fetch of its batch to its end; step 0 is the build."""
        self.step = number
        self.phase = "data" if number else "build"
        with self:
            yield

    def begin_step(self) -> None:
        """Mark the end of the batch fetch and the start of the step."""
        self.phase = "forward"

    def __enter__(self) -> OpRecorder:
        for handle in (
            nn.modules.module.register_module_forward_pre_hook(self.enter_module),
            nn.modules.module.register_module_forward_hook(
                self.leave_module,
                always_call=True,  # also if the forward raises
            ),
            register_optimizer_step_pre_hook(self._enter_optimizer),
            register_optimizer_step_post_hook(self._leave_optimizer),
        ):
            self.hooks.callback(handle.remove)
        # A compiled region cannot run in a dispatch mode; one with fullgraph=True would fail.
        self.hooks.enter_context(torch.compiler.set_stance("force_eager"))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)  # type: ignore[no-untyped-call]
        self.hooks.close()
        self.modules.clear()

    def record_thread(self) -> None:
        """Record operations of the calling thread too, until it ends: modes are per thread."""
        _push_mode(self)

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
        schema = schema_of(func)
        if schema.is_ignored or not self.is_on:
            return func(*args, **kwargs)
        phase, module, source = self._locate()
        if source is None:
            return func(*args, **kwargs)
        read = schema.inputs(args, kwargs)
        if self.scratch:
            read = [leaf for leaf in read if _storage_address(leaf) not in self.scratch]
        reads_fresh = not schema.is_view and any(map(self._is_unwritten, read))
        inputs = _digest_inputs(schema, read)
        output = func(*args, **kwargs)
        returned, scratch = schema.split_workspace(output)
        results = [*returned, *schema.mutated_leaves(args, kwargs)]
        outputs = ""
        if not schema.has_no_output_bytes:
            outputs = _digest_leaves(_digestible_tensors(results), results)
        if len(self.operations) == self.keep:
            tensors = _digestible_tensors(results)
            parts = (part for n, tensor in tensors for part in dense_parts(str(n), tensor))
            self.kept = {name: to_storable(part) for name, part in parts}
        self.operations.append(
            Operation(
                self.step,
                phase,
                module,
                schema.name,
                source,
                inputs,
                outputs,
                reads_fresh,
                schema.draws_random,
            )
        )
        if not schema.is_view:
            self._track_memory(schema, results, scratch)
        return output

    def _locate(self) -> tuple[str, str, str | None]:
        """Return phase, module path and source line of the current operation.

        The line is None if the operation only receives a tensor from another process.
        """
        node: Any = torch._C._current_autograd_node()  # None outside the backward
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
        # The first operation after the creation of a node belongs to that node.
        self.forwards.setdefault(torch._C._autograd._get_sequence_nr() - 1, (module, source))
        return self.phase, module, source

    def _track_memory(self, schema: OpSchema, results: list[Any], scratch: list[Any]) -> None:
        """Memory is fresh from its allocation to the first operation that writes to it."""
        written = set(filter(None, map(_storage_address, results)))
        self.scratch = (self.scratch - written) | set(filter(None, map(_storage_address, scratch)))
        for address in written:
            self.fresh.pop(address, None)
        if schema.allocates:
            allocated = [(_storage_address(result), result) for result in results]
            self.fresh |= {place: _storage_digest(tensor) for place, tensor in allocated if place}

    def _is_unwritten(self, value: Any) -> bool:
        """Whether a tensor's memory is as it was allocated, so that nobody wrote to it.

        NumPy, C++ and Triton write to memory without an operation.
        """
        address = _storage_address(value)
        if address is None or address not in self.fresh:
            return False
        is_unwritten = self.fresh[address] == _storage_digest(value)
        if not is_unwritten:
            del self.fresh[address]
        return is_unwritten


def _digest_inputs(schema: OpSchema, read: list[Any]) -> str:
    """Digest the inputs; of a view only plain arguments, because its users read the elements."""
    named = [] if schema.is_view else _digestible_tensors(read)
    if schema.draws_random:
        named += enumerate(_generator_tensors(read), len(named))
    return _digest_leaves(named, read)


def _digestible_tensors(leaves: list[Any]) -> list[tuple[int, Tensor]]:
    """Return the leaves with defined bytes, each with its index."""
    return [(n, leaf) for n, leaf in enumerate(leaves) if _has_digest(leaf)]


def _digest_leaves(tensors: list[tuple[int, Tensor]], leaves: list[Any]) -> str:
    """Return the digest of the tensors' bytes and of the repr of plain values."""
    plain = [repr(leaf) for leaf in leaves if isinstance(leaf, REPR_TYPES)]
    named = [(str(n), tensor) for n, tensor in tensors]
    return digest(named, {"plain": plain} if plain else None)


def _has_digest(value: Any) -> bool:
    return type(value) in (Tensor, nn.Parameter) and not (
        value.layout not in DIGESTED or value.is_meta or value.is_quantized
    )


def _generator_tensors(leaves: list[Any]) -> list[Tensor]:
    """Return the states of the generators among the leaves, else of their devices' generators."""
    passed = [leaf.get_state() for leaf in leaves if isinstance(leaf, torch.Generator)]
    if passed:
        return passed
    devices = {leaf.device for leaf in leaves if isinstance(leaf, Tensor)}
    devices |= {leaf for leaf in leaves if isinstance(leaf, torch.device)}
    states = [torch.cuda.get_rng_state(device) for device in devices if device.type == "cuda"]
    return states or [torch.get_rng_state()]


def _storage_address(value: Any) -> int | None:
    """Return the address of a tensor's storage, or None if there is none."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_meta:
        return None
    return value.untyped_storage().data_ptr() or None


def _storage_digest(tensor: Tensor) -> str:
    """Return the digest of all bytes of a tensor's storage."""
    stored = torch.empty(0, dtype=torch.uint8, device=tensor.device)
    return digest([("storage", stored.set_(tensor.untyped_storage()))])


def _source_line() -> str | None:
    """The innermost ``file:line`` outside torch and the harness; "" if none, None if unpickling."""
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
    """Return a project file's path in the project, any other relative to here or to home."""
    path = Path(name)
    if path.is_relative_to(IMPORT_ROOT):
        return str(path.relative_to(IMPORT_ROOT))
    return portable_path(path)


@cache
def _is_harness_file(name: str) -> bool:
    """Whether a file only observes; shipped scenarios and their base classes are the training."""
    path = Path(name)
    if path.is_relative_to(SCENARIOS) or path.name in ("scenario.py", "keras_scenario.py"):
        return False
    return path.is_relative_to(PACKAGE)
