"""Operation schemas as torch declares them: what an operation reads, writes, draws, allocates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from harness.worker.torch_backend.memory_fill import UNINITIALIZED

IGNORED = ("profiler::",)  # markers of torch's profiler
# Indices of returned workspace tensors, parts of which are never written.
WORKSPACE = {
    "aten::mkldnn_rnn_layer": (3,),
    "aten::_cudnn_rnn": (3,),
    "aten::cudnn_batch_norm": (3,),
    "aten::_batch_norm_with_update": (3,),
}
# Collectives may return before the exchange between processes completes and their results exist.
# Only reductions also send the buffer that they write to; for the others this depends on the rank.
COLLECTIVES = ("c10d::", "_c10d_functional::")
REDUCTIONS = ("c10d::allreduce_", "c10d::reduce_")
SENDING = ("c10d::send",)
RECEIVED = ("output", "tensors")  # prefixes of the arguments they write to, which no schema marks
# Overwrite ``self`` without reading it.
FILL_OPS = tuple(
    f"aten::{name}_"
    for name in (
        "zero",
        "fill",
        "copy",
        "normal",
        "uniform",
        "random",
        "exponential",
        "geometric",
        "log_normal",
        "cauchy",
        "bernoulli",
        "eye",
        "set",
    )
)


@dataclass(frozen=True, slots=True)
class OpSchema:
    name: str  # as torch prints it: aten.index_put_.default
    is_view: bool
    allocates: bool  # returns uninitialized memory
    is_collective: bool  # may return before its results exist
    draws_random: bool  # from a generator
    is_ignored: bool
    arguments: tuple[str, ...]
    overwritten: frozenset[str]  # arguments whose old content is not read
    mutated: frozenset[str]  # arguments that the operation writes to
    workspace: tuple[int, ...]  # indices of outputs in an opaque format for its backward

    @property
    def has_no_output_bytes(self) -> bool:
        return self.is_view or self.allocates or self.is_collective

    def inputs(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """Return every leaf of the arguments except those that are only written to."""
        return list(
            _leaves(
                value
                for name, value in self._named_arguments(args, kwargs)
                if name not in self.overwritten
            )
        )

    def mutated_leaves(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        if not self.mutated:
            return []
        return list(
            _leaves(
                value for name, value in self._named_arguments(args, kwargs) if name in self.mutated
            )
        )

    def _named_arguments(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Iterator[tuple[str, Any]]:
        """Yield arguments in order of declaration, because callers may order ``kwargs`` freely."""
        yield from zip(self.arguments, args, strict=False)
        if kwargs:
            later = self.arguments[len(args) :]
            yield from ((name, kwargs[name]) for name in later if name in kwargs)

    def split_workspace(self, output: Any) -> tuple[list[Any], list[Any]]:
        """Return the leaves of the output in two lists: results and workspace."""
        returned = list(_leaves((output,)))
        if not self.workspace:
            return returned, []
        results = [leaf for index, leaf in enumerate(returned) if index not in self.workspace]
        return results, [returned[index] for index in self.workspace if index < len(returned)]


def _leaves(values: Iterable[Any]) -> Iterator[Any]:
    """Yield the leaves of nested lists and tuples, the only containers that operations use."""
    for value in values:
        if isinstance(value, list | tuple):
            yield from _leaves(value)
        else:
            yield value


@cache
def schema_of(func: Any) -> OpSchema:
    """Return the schema of an operation overload (``torch._ops.OpOverload``)."""
    name = func.name()
    arguments = func._schema.arguments
    is_fill = name.startswith(FILL_OPS)
    is_collective = name.startswith(COLLECTIVES)
    receives = is_collective and not name.startswith(SENDING)
    mutated = [
        arg
        for arg in arguments
        if (arg.alias_info is not None and arg.alias_info.is_write)
        or (receives and arg.name.startswith(RECEIVED))
    ]
    only_receives = is_collective and not name.startswith(REDUCTIONS)
    return OpSchema(
        name=str(func),
        is_view=func.is_view,
        allocates=name.startswith(UNINITIALIZED),
        is_collective=is_collective,
        draws_random=torch.Tag.nondeterministic_seeded in func.tags,
        is_ignored=name.startswith(IGNORED),
        arguments=tuple(arg.name for arg in arguments),
        overwritten=frozenset(
            arg.name
            for arg in mutated
            if arg.is_out or only_receives or (is_fill and arg.name == "self")
        ),
        mutated=frozenset(arg.name for arg in mutated),
        workspace=WORKSPACE.get(name, ()),
    )
