"""What torch declares of an operation, read once: what it reads, writes, draws and allocates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from harness.worker.torch_backend.memory_fill import UNINITIALIZED

IGNORED = ("profiler::",)  # marks of torch's own profiler
# What these return at these places is workspace, not all of which is ever written.
WORKSPACE = {
    "aten::mkldnn_rnn_layer": (3,),
    "aten::_cudnn_rnn": (3,),
    "aten::cudnn_batch_norm": (3,),
    "aten::_batch_norm_with_update": (3,),
}
# Begin an exchange between processes that may end later: what they write is not there yet. Of these
# only a reduction sends what it writes into; what others do there depends on the rank.
COLLECTIVES = ("c10d::", "_c10d_functional::")
REDUCTIONS = ("c10d::allreduce_", "c10d::reduce_")
# Fill ``self`` without reading it.
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
    allocates: bool  # memory as it is found
    is_collective: bool  # with other processes, and is done before its results are there
    draws_random: bool  # from a generator
    is_ignored: bool
    arguments: tuple[str, ...]
    overwritten: frozenset[str]  # arguments whose old content plays no part
    mutated: frozenset[str]  # arguments that are written into
    workspace: tuple[int, ...]  # places of what is kept for its backward in a form of its own

    @property
    def has_no_output_bytes(self) -> bool:
        return self.is_view or self.allocates or self.is_collective

    def inputs(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any]:
        """Every leaf of the arguments but those that are only written into."""
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
            _leaves(v for name, v in self._named_arguments(args, kwargs) if name in self.mutated)
        )

    def _named_arguments(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Iterator[tuple[str, Any]]:
        """In the order of declaration, for callers may order ``kwargs`` as they like."""
        yield from zip(self.arguments, args, strict=False)
        if kwargs:
            later = self.arguments[len(args) :]
            yield from ((name, kwargs[name]) for name in later if name in kwargs)

    def split_workspace(self, output: Any) -> tuple[list[Any], list[Any]]:
        """The leaves of what was returned, and apart from them what is scratch."""
        returned = list(_leaves((output,)))
        if not self.workspace:
            return returned, []
        kept = [one for place, one in enumerate(returned) if place not in self.workspace]
        return kept, [returned[place] for place in self.workspace if place < len(returned)]


def _leaves(values: Iterable[Any]) -> Iterator[Any]:
    """Operations take and give lists and tuples, nested at most, and nothing else that holds."""
    for value in values:
        if isinstance(value, list | tuple):
            yield from _leaves(value)
        else:
            yield value


@cache
def schema_of(func: Any) -> OpSchema:
    name = func.name()
    arguments = func._schema.arguments
    changed = [one for one in arguments if one.alias_info is not None and one.alias_info.is_write]
    is_filling = name.startswith(FILL_OPS)
    exchanges = name.startswith(COLLECTIVES)
    is_received = exchanges and not name.startswith(REDUCTIONS)
    return OpSchema(
        name=str(func),
        is_view=func.is_view,
        allocates=name.startswith(UNINITIALIZED),
        is_collective=exchanges,
        draws_random=torch.Tag.nondeterministic_seeded in func.tags,
        is_ignored=name.startswith(IGNORED),
        arguments=tuple(one.name for one in arguments),
        overwritten=frozenset(
            one.name
            for one in changed
            if one.is_out or is_received or (is_filling and one.name == "self")
        ),
        mutated=frozenset(one.name for one in changed),
        workspace=WORKSPACE.get(name, ()),
    )
