"""Where two logs of operations first part, and what that says. Standard library only.

All that came before was equal, so the first place at which two logs differ is the origin: a later
operation only passes the difference on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest

from harness.operations import Log, Operation

AROUND = 3  # operations that are shown before and after the origin


class Nature(StrEnum):
    operation = "operation"  # equal inputs, other outputs
    outside = "outside"  # its inputs differ, and no operation before it gave them
    fresh = "fresh memory"  # it reads memory that nothing has written to
    path = "path"  # another operation stands there: the program took another way


@dataclass(frozen=True)
class Origin:
    nature: Nature
    index: int  # in both logs
    operation: Operation
    instead: Operation | None = None  # what the other run did there; None where it did the same

    def in_words(self) -> str:
        what = {
            Nature.operation: "was given the same bits and gave others",
            Nature.outside: "is the first to be given other bits, which no operation had made",
            Nature.fresh: "reads memory that nothing has written to",
            Nature.path: "was not what the other run did there",
        }[self.nature]
        one = self.operation
        place = f" in {one.module}" if one.module else ""
        source = f", at {one.source}" if one.source else ""
        return f"step {one.step}, {one.phase}{place}: {one.name} {what}{source}"


def first_parting(one: Log, other: Log) -> Origin | None:
    """None where the logs agree from their beginning to their end."""
    for index, (a, b) in enumerate(zip_longest(one.operations, other.operations)):
        if a is None or b is None or a.place != b.place:
            return Origin(Nature.path, index, *[one for one in (a, b) if one])
        if a.inputs != b.inputs:
            nature = Nature.fresh if a.reads_fresh or b.reads_fresh else Nature.outside
            return Origin(nature, index, a)
        if a.outputs != b.outputs:
            nature = Nature.fresh if a.reads_fresh or b.reads_fresh else Nature.operation
            return Origin(nature, index, a)
    return None


def begin_alike(one: Log, other: Log) -> bool:
    """Whether both runs were in the same state where their windows begin."""
    start = min(one.begins, key=int, default=None)
    return start is not None and one.begins[start] == other.begins.get(start)


def around(log: Log, index: int) -> list[Operation]:
    return log.operations[max(0, index - AROUND) : index + AROUND + 1]
