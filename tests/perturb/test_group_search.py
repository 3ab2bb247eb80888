"""The search names exactly what was planted, with few tests if there is little."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from harness.perturb.group_search import GroupSearch, Members

NAMES = [f"factor{number}" for number in range(12)]


def planted(*groups: Members) -> GroupSearch:
    """Varying any of these groups, all its members together, makes a difference."""
    return GroupSearch(lambda members: any(group <= members for group in groups))


def one(*names: str) -> Members:
    return frozenset(names)


def test_one_test_clears_all_members() -> None:
    """A group without effect is tested once."""
    search = planted()
    assert search.find(NAMES) == []
    assert len(search.answers) == 1


@pytest.mark.parametrize("number", [1, 2, 3])
def test_single_members_are_found(number: int) -> None:
    """Each that matters alone, and nothing else, whatever their places."""
    draw = random.Random(number)
    for names in draw.sample(list(combinations(NAMES, number)), 12):
        groups = [one(name) for name in names]
        assert set(planted(*groups).find(NAMES)) == set(groups)


def test_members_that_matter_only_together_are_found() -> None:
    """In one half, across halves, and beside a single one that matters."""
    near, far = one("factor0", "factor1"), one("factor3", "factor9")
    for groups in ([near], [far], [near, far], [far, one("factor5")], [one(*NAMES[2:5])]):
        assert set(planted(*groups).find(NAMES)) == set(groups)


def test_a_single_factor_needs_few_tests() -> None:
    """About two for each time that twelve can be halved."""
    search = planted(one("factor7"))
    assert search.find(NAMES) == [one("factor7")]
    assert len(search.answers) <= 10


def test_no_group_is_tested_twice() -> None:
    """Tests take minutes."""
    tested: list[Members] = []

    def matters(members: Members) -> bool:
        tested.append(members)
        return one("factor2", "factor8") <= members

    GroupSearch(matters).find(NAMES)
    assert len(tested) == len(set(tested))
