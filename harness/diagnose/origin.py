"""Where two logs of operations first part, and what that says. Standard library only.

Two logs are aligned first, for one run may do something more. All that came before was equal, so
the first place at which they differ is the origin: a later operation only passes the difference on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from enum import StrEnum

from harness.core.op_log import PHASES, Log, Operation

AROUND = 3  # operations that are shown before and after the origin


class Nature(StrEnum):
    operation = "operation"  # equal inputs, other outputs
    outside = "outside"  # its inputs differ, and no operation before it gave them
    fresh = "fresh memory"  # it reads memory that nothing has written to
    path = "path"  # another operation stands there: the program took another way


@dataclass(frozen=True)
class Origin:
    nature: Nature
    index: int  # in the log of the one, or of the other where only that has it
    operation: Operation
    only_in: str = ""  # "one" or "the other", where not both runs do it
    unpaired: int = 0  # operations before it that only one of the two runs does
    rank: int = 0  # of the process, where a training has several

    def in_words(self) -> str:
        what = {
            Nature.operation: "was given the same bits and gave others",
            Nature.outside: "is the first to be given other bits, which no operation had made",
            Nature.fresh: "reads memory that nothing has written to",
            Nature.path: "is done by only one of the two runs",
        }[self.nature]
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


def aligned(one: Log, other: Log) -> Iterator[Pair]:
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


def first_difference(one: Log, other: Log) -> Origin | None:
    """None where the logs agree from their beginning to their end.

    Of operations that only one run does, the first is the origin where what comes after them is
    given other bits, or where nothing else differs.
    """
    unpaired: list[Pair] = []
    for pair in aligned(one, other):
        a, b = pair.one, pair.other
        if a is None or b is None:
            unpaired.append(pair)
        elif not pair.same_inputs and unpaired:
            return another_path(unpaired[0])
        elif not (pair.same_inputs and pair.same_outputs):
            nature = Nature.outside if not pair.same_inputs else Nature.operation
            nature = Nature.fresh if a.reads_fresh or b.reads_fresh else nature
            return Origin(nature, pair.index, a, unpaired=len(unpaired))
    return another_path(unpaired[0]) if unpaired else None


def earliest(one: Log, other: Log) -> Origin | None:
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
        return at.step, PHASES.index(at.phase), origin.nature is Nature.outside

    return min(found, key=order, default=None)


def another_path(pair: Pair) -> Origin:
    only_in = "one" if pair.one else "the other"
    operation = pair.one or pair.other
    assert operation is not None
    return Origin(Nature.path, pair.index, operation, only_in)


def begin_alike(one: Log, other: Log) -> bool:
    """Whether both runs, on all their ranks, were in the same state where their windows begin."""
    start = min(one.begins, key=int, default=None)
    is_alike = start is not None and one.begins[start] == other.begins.get(start)
    return is_alike and all(map(begin_alike, one.others, other.others))


def around(one: Log, other: Log, origin: Origin) -> list[Pair]:
    """The origin's pair and a few before and after it."""
    if origin.rank:
        one, other = one.others[origin.rank - 1], other.others[origin.rank - 1]
    pairs = list(aligned(one, other))
    at = next(
        n
        for n, pair in enumerate(pairs)
        if origin.operation in (pair.one, pair.other) and pair.index == origin.index
    )
    return pairs[max(0, at - AROUND) : at + AROUND + 1]
