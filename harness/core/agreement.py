"""How often processes differ from the most frequent result. Standard library only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RARE = 0.10  # under this share of differing processes, a cell varies rarely


@dataclass(frozen=True)
class Agreement:
    """The unit is the process, because repeats in one process are not independent."""

    processes: int
    agreeing: int  # processes that have the most frequent result; 0 only if there is no process

    @classmethod
    def of(cls, results: Sequence[Hashable]) -> Agreement:
        """Count the results of processes, one for each."""
        counts = Counter(results)
        return cls(len(results), max(counts.values(), default=0))

    @classmethod
    def of_row(cls, row: Mapping[Any, Any]) -> Agreement:
        """Return the agreement that a row of the cell table holds."""
        return cls(row["differ_of"], row["differ_of"] - row["differ"])

    @property
    def differing(self) -> int:
        return self.processes - self.agreeing

    @property
    def is_rare(self) -> bool:
        """Whether some process differs, but under 10 % of them."""
        return 0 < self.differing < RARE * self.processes

    @property
    def all_differ(self) -> bool:
        """Whether no two processes have the same result, so that none is the most frequent."""
        return self.agreeing == 1 < self.processes

    def __str__(self) -> str:
        return (
            f"all {self.processes}" if self.all_differ else f"{self.differing} of {self.processes}"
        )

    def describe(self) -> str:
        """Say it in words, the same in every table and message."""
        if self.all_differ:
            return f"all {self.processes} processes differ"
        if self.differing == 0:
            return f"none of {self.processes} processes differs"
        verb = "differs" if self.differing == 1 else "differ"
        return (
            f"{self.differing} of {self.processes} processes {verb} from the most frequent result"
        )
