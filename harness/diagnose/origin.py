"""Where two logs of operations first part, and what that says. Standard library only.

Two logs are aligned first, for one run may do something more. All that came before was equal, so
the first place at which they differ is the origin: a later operation only passes the difference on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from enum import StrEnum

from harness.core.op_log import PHASES, Operation, OpLog

AROUND = 3  # operations that are shown before and after the origin


class OriginKind(StrEnum):
    operation = "operation"  # equal inputs, other outputs
    outside = "outside"  # its inputs differ, and no operation before it gave them
    fresh = "fresh memory"  # it reads memory that nothing has written to
    path = "path"  # another operation stands there: the program took another way


@dataclass(frozen=True)
class Origin:
    kind: OriginKind
    index: int  # in the log of the one, or of the other where only that has it
    operation: Operation
    only_in: str = ""  # "one" or "the other", where not both runs do it
    unpaired: int = 0  # operations before it that only one of the two runs does
    rank: int = 0  # of the process, where a training has several

    def describe(self) -> str:
        what = {
            OriginKind.operation: "was given the same bits and gave others",
            OriginKind.outside: "is the first to be given other bits, which no operation had made",
            OriginKind.fresh: "reads memory that nothing has written to",
            OriginKind.path: "is done by only one of the two runs",
        }[self.kind]
        one = self.operation
        place = f" in {one.module}" if one.module else ""
        source = f", at {one.source}" if one.source else ""
        more = f" ({self.unpaired} before it are done by only one run)" if self.unpaired else ""
        rank = f" on rank {self.rank}" if self.rank else ""
        return f"step {one.step}, {one.phase}{place}{rank}: {one.name} {what}{source}{more}"


@dataclass(frozen=True)
class Pair:
    """Two operations that correspond; one is None where only the other run does it."""

    index: int
    one: Operation | None
    other: Operation | None

    @property
    def same_inputs(self) -> bool:
        return bool(self.one and self.other and self.one.inputs == self.other.inputs)

    @property
    def same_outputs(self) -> bool:
        return bool(self.one and self.other and self.one.outputs == self.other.outputs)


def _align(one: OpLog, other: OpLog) -> Iterator[Pair]:
    """Both logs side by side, by step, phase, module and name in their order of occurrence."""
    places = [[each.place for each in log.operations] for log in (one, other)]
    matched = 0
    for a, b in zip(*places, strict=False):  # mostly all of them, and then there is no search
        if a != b:
            break
        yield Pair(matched, one.operations[matched], other.operations[matched])
        matched += 1
    rest = SequenceMatcher(None, places[0][matched:], places[1][matched:], autojunk=False)
    for tag, i, i_end, j, j_end in rest.get_opcodes():
        ours = one.operations[matched + i : matched + i_end]
        theirs = other.operations[matched + j : matched + j_end]
        if tag == "equal":
            both = zip(ours, theirs, strict=True)
            yield from (Pair(matched + i + n, *two) for n, two in enumerate(both))
        else:
            yield from (Pair(matched + i + n, each, None) for n, each in enumerate(ours))
            yield from (Pair(matched + j + n, None, each) for n, each in enumerate(theirs))


def first_difference(one: OpLog, other: OpLog) -> Origin | None:
    """None where the logs agree from their beginning to their end.

    Of operations that only one run does, the first is the origin where what comes after them is
    given other bits, or where nothing else differs.
    """
    unpaired: list[Pair] = []
    for pair in _align(one, other):
        a, b = pair.one, pair.other
        if a is None or b is None:
            unpaired.append(pair)
        elif not pair.same_inputs and unpaired:
            return _path_origin(unpaired[0])
        elif not (pair.same_inputs and pair.same_outputs):
            nature = OriginKind.outside if not pair.same_inputs else OriginKind.operation
            nature = OriginKind.fresh if a.reads_fresh or b.reads_fresh else nature
            return Origin(nature, pair.index, a, unpaired=len(unpaired))
    return _path_origin(unpaired[0]) if unpaired else None


def earliest_origin(one: OpLog, other: OpLog) -> Origin | None:
    """Of trainings of several processes, the rank where they part first.

    Ranks have no common clock, but a rank that only passes on what another sent it is given other
    bits, which no operation of its own made.
    """
    ranks = zip((one, *one.others), (other, *other.others), strict=False)
    found = [
        replace(origin, rank=rank)
        for rank, two in enumerate(ranks)
        if (origin := first_difference(*two))
    ]

    def order(origin: Origin) -> tuple[int, int, bool]:
        at = origin.operation
        return at.step, PHASES.index(at.phase), origin.kind is OriginKind.outside

    return min(found, key=order, default=None)


def _path_origin(pair: Pair) -> Origin:
    only_in = "one" if pair.one else "the other"
    operation = pair.one or pair.other
    assert operation is not None
    return Origin(OriginKind.path, pair.index, operation, only_in)


def start_equal(one: OpLog, other: OpLog) -> bool:
    """Whether both runs, on all their ranks, were in the same state where their windows begin."""
    start = min(one.begins, key=int, default=None)
    is_alike = start is not None and one.begins[start] == other.begins.get(start)
    return is_alike and all(map(start_equal, one.others, other.others))


def surrounding_pairs(one: OpLog, other: OpLog, origin: Origin) -> list[Pair]:
    """The origin's pair and a few before and after it."""
    if origin.rank:
        one, other = one.others[origin.rank - 1], other.others[origin.rank - 1]
    pairs = list(_align(one, other))
    at = next(
        n
        for n, pair in enumerate(pairs)
        if origin.operation in (pair.one, pair.other) and pair.index == origin.index
    )
    return pairs[max(0, at - AROUND) : at + AROUND + 1]
