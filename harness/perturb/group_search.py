"""Search for what matters among many, by tests of groups (Dorfman, 1943) that are halved.

A group that makes no difference clears all its members by one test. Members that matter only
together are found too: where a group makes a difference and neither half does, QuickXplain finds
the fewest members that do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from harness.diagnose.switch_search import SwitchSearch

Members = frozenset[str]


@dataclass
class GroupSearch:
    """``matters`` tests whether varying these members together makes a difference.

    ``is_certain`` says of a group that does whether its difference is beyond doubt. One that is not
    is halved, but several members are not searched for what they do only together.
    """

    matters: Callable[[Members], bool]
    is_certain: Callable[[Members], bool] = lambda _: True
    answers: dict[Members, bool] = field(default_factory=dict)

    def test(self, members: Members) -> bool:
        """No group is tested twice, and an empty one makes no difference."""
        if members and members not in self.answers:
            self.answers[members] = self.matters(members)
        return bool(members) and self.answers[members]

    def find(self, members: Sequence[str]) -> list[Members]:
        """Return the smallest groups that matter: most have one member."""
        found: list[Members] = []
        left = list(members)
        while self.test(frozenset(left)):
            new = self._halve(left) or [self._fewest(left)]
            found += new
            left = [name for name in left if not any(name in group for group in new)]
        return found

    def _halve(self, members: Sequence[str]) -> list[Members]:
        """Single members that matter in a group that does."""
        if len(members) == 1:
            return [frozenset(members)]
        middle = len(members) // 2
        halves = (members[:middle], members[middle:])
        return [
            single
            for half in halves
            if self.test(frozenset(half))
            for single in self._halve(half) or [self._fewest(half)]
        ]

    def _fewest(self, members: Sequence[str]) -> Members:
        """Several members that matter only together; all of them if that is uncertain."""
        if not self.is_certain(frozenset(members)):
            return frozenset(members)
        fewest = SwitchSearch(members, self.test, self.answers).minimize()
        return fewest if fewest is not None else frozenset(members)
