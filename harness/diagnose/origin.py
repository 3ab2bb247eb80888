"""Find the origin of a difference: the first operation at which two logs differ.

Logs are aligned before they are compared, because one run may execute additional operations.
Everything before the first difference is equal, so that operation is the origin; later operations
only propagate the difference. Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from enum import StrEnum
from itertools import takewhile

from harness.core.op_log import PHASES, Operation, OpLog

AROUND = 3  # operations to show before and after the origin


class OriginKind(StrEnum):
    operation = "operation"  # equal inputs, different outputs
    outside = "outside"  # its inputs differ, and no earlier operation produced them
    uninitialized = "uninitialized memory"
    path = "path"  # only one run executes it: the control flow differs


@dataclass(frozen=True)
class Origin:
    kind: OriginKind
    index: int  # in the first log, or in the second if only that one has it
    operation: Operation
    only_in: str = ""  # "one" (the first log) or "the other"; empty if both runs execute it
    unpaired: int = 0  # earlier operations that only one of the two runs executes
    rank: int = 0  # of the process, in distributed training

    @property
    def draws_from_other_state(self) -> bool:
        """Whether it is a draw from a torch generator that another seed, or none, had set."""
        return self.kind is OriginKind.outside and self.operation.draws_random

    def describe(self) -> str:
        behavior = {
            OriginKind.operation: "returned different results for identical inputs",
            OriginKind.outside: "received different inputs that no earlier operation produced",
            OriginKind.uninitialized: "reads uninitialized memory",
            OriginKind.path: "is executed by only one of the two runs",
        }[self.kind]
        op = self.operation
        module = f" in {op.module}" if op.module else ""
        rank = f" on rank {self.rank}" if self.rank else ""
        source = f", at {op.source}" if op.source else ""
        extra = f" (earlier operations in only one run: {self.unpaired})" if self.unpaired else ""
        place = f"step {op.step}, {op.phase}" if op.step else "before the first step"
        return f"{place}{module}{rank}: {op.name} {behavior}{source}{extra}"


@dataclass(frozen=True)
class Pair:
    """Corresponding operations of two logs; one is None if only the other run executes it."""

    index: int
    one: Operation | None
    other: Operation | None

    @property
    def same_inputs(self) -> bool:
        return bool(self.one and self.other and self.one.inputs == self.other.inputs)

    @property
    def same_outputs(self) -> bool:
        return bool(self.one and self.other and self.one.outputs == self.other.outputs)


def _align(first: OpLog, second: OpLog) -> Iterator[Pair]:
    """Pair the operations of two logs by step, phase, module and name, in order of occurrence."""
    for is_equal, ours, theirs in _blocks(first.operations, second.operations):
        one = [(n, first.operations[n]) for n in ours]
        other = [(n, second.operations[n]) for n in theirs]
        if is_equal:
            yield from (Pair(n, a, b) for (n, a), (_, b) in zip(one, other, strict=True))
        else:
            yield from (Pair(n, op, None) for n, op in one)
            yield from (Pair(n, None, op) for n, op in other)


def _blocks(
    first: Sequence[Operation], second: Sequence[Operation]
) -> Iterator[tuple[bool, range, range]]:
    """Yield whether blocks of two logs correspond, and their indices in both, in order.

    The search is quadratic, so it is confined to what lies between a common start and a common end.
    """
    one, other = ([op.place for op in log] for log in (first, second))
    start = _common_length(one, other)
    end = _common_length(reversed(one[start:]), reversed(other[start:]))
    yield True, range(start), range(start)
    search = SequenceMatcher(
        None, one[start : len(one) - end], other[start : len(other) - end], autojunk=False
    )
    for tag, i, i_end, j, j_end in search.get_opcodes():
        yield tag == "equal", range(start + i, start + i_end), range(start + j, start + j_end)
    yield True, range(len(one) - end, len(one)), range(len(other) - end, len(other))


def _common_length(first: Iterable[object], second: Iterable[object]) -> int:
    """Return how many elements at the start of two sequences are equal."""
    pairs = zip(first, second, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def first_difference(first: OpLog, second: OpLog) -> Origin | None:
    """Return the origin of the difference between two logs of one rank, or None if they agree.

    The first operation that only one run executes is the origin if the first shared operation that
    differs has different inputs, or if nothing else differs.
    """
    unpaired: list[Pair] = []
    for pair in _align(first, second):
        a, b = pair.one, pair.other
        if a is None or b is None:
            unpaired.append(pair)
        elif not pair.same_inputs and unpaired:
            return _path_origin(unpaired[0])
        elif not (pair.same_inputs and pair.same_outputs):
            kind = OriginKind.operation if pair.same_inputs else OriginKind.outside
            kind = OriginKind.uninitialized if a.reads_fresh and b.reads_fresh else kind
            return Origin(kind, pair.index, a, unpaired=len(unpaired))
    return _path_origin(unpaired[0]) if unpaired else None


def earliest_origin(first: OpLog, second: OpLog) -> Origin | None:
    """Return the earliest origin over all ranks, or None if the logs of every rank agree.

    Ranks share no clock. Within a step and phase, an operation that returned different results
    comes before one that received different inputs, because those may come from another rank.
    """
    ranks = zip((first, *first.others), (second, *second.others), strict=False)
    origins = [
        replace(origin, rank=rank)
        for rank, logs in enumerate(ranks)
        if (origin := first_difference(*logs))
    ]

    def order(origin: Origin) -> tuple[int, int, bool]:
        op = origin.operation
        return op.step, PHASES.index(op.phase), origin.kind is OriginKind.outside

    return min(origins, key=order, default=None)


def _path_origin(pair: Pair) -> Origin:
    only_in = "one" if pair.one else "the other"
    operation = pair.one or pair.other
    assert operation is not None
    return Origin(OriginKind.path, pair.index, operation, only_in)


def start_equal(first: OpLog, second: OpLog) -> bool:
    """Whether all ranks of both runs were in the same state at the start of their windows."""
    start = min(first.begins, key=int, default=None)
    is_equal = start is not None and first.begins[start] == second.begins.get(start)
    return is_equal and all(map(start_equal, first.others, second.others))


def surrounding_pairs(first: OpLog, second: OpLog, origin: Origin) -> list[Pair]:
    """Return the origin's pair with up to AROUND pairs before and after it."""
    if origin.rank:
        first, second = first.others[origin.rank - 1], second.others[origin.rank - 1]
    pairs = list(_align(first, second))
    at = next(
        n
        for n, pair in enumerate(pairs)
        if origin.operation in (pair.one, pair.other) and pair.index == origin.index
    )
    return pairs[max(0, at - AROUND) : at + AROUND + 1]
