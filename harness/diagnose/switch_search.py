"""Search for a smallest set of switches under which runs agree, by a test of sets.

The search is QuickXplain (Junker 2004): it halves what is left, so that few necessary switches
among many need few tests, and it prefers switches that come first. It assumes that a superset of a
set that suffices does, too; every answer is tested itself, so where that is wrong, an answer is
only larger than it must be, and the contradiction is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Kept = frozenset[str]  # names of switches


@dataclass
class SwitchSearch:
    """``suffices`` tests whether all runs agree with these switches alone; it may run for minutes.

    ``switches`` are in the order of preference: those that cost least first.
    """

    switches: Sequence[str]
    suffices: Callable[[Kept], bool]
    answers: dict[Kept, bool] = field(default_factory=dict)

    def test(self, kept: Kept) -> bool:
        """No set is tested twice."""
        if kept not in self.answers:
            self.answers[kept] = self.suffices(kept)
        return self.answers[kept]

    def minimize(self) -> Kept | None:
        """Return a set that suffices and none of whose switches can be left out; or None.

        Each switch left out alone was tested. None means that not even all switches suffice.
        """
        if not self.test(frozenset(self.switches)):
            return None
        kept = frozenset(self._quick(frozenset(), False, list(self.switches)))
        while True:
            if not self.test(kept):  # not monotone: what was left out helps after all
                kept = self._smallest_known()
            unneeded = [name for name in self._last_first(kept) if self.test(kept - {name})]
            if not unneeded:
                return kept
            kept -= {unneeded[0]}

    def _quick(self, kept: Kept, has_changed: bool, rest: Sequence[str]) -> list[str]:
        """Return what must be added to ``kept``, out of ``rest``."""
        if has_changed and self.test(kept):
            return []
        if len(rest) < 2:
            return list(rest)
        half = len(rest) // 2
        first, second = rest[:half], rest[half:]
        of_second = self._quick(kept | {*first}, bool(first), second)
        of_first = self._quick(kept | {*of_second}, bool(of_second), first)
        return [*of_first, *of_second]

    def _smallest_known(self) -> Kept:
        known = [kept for kept, is_enough in self.answers.items() if is_enough]
        return min(known, key=lambda kept: (len(kept), self._last_first(kept)))

    def _last_first(self, kept: Kept) -> list[str]:
        return [name for name in reversed(self.switches) if name in kept]


def find_contradictions(answers: Mapping[Kept, bool]) -> list[tuple[Kept, Kept]]:
    """Return sets that suffice, each with a superset that does not."""
    return [
        (smaller, larger)
        for smaller, is_enough in answers.items()
        for larger, is_still_enough in answers.items()
        if smaller < larger and is_enough and not is_still_enough
    ]
