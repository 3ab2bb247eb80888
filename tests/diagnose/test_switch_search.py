"""The search finds exactly the planted sets of necessary switches."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import combinations

import pytest

from harness.diagnose.switch_search import Kept, SwitchSearch, find_contradictions

SWITCHES = ("seed", "hash", "generator", "workers", "warm", "cudnn", "workspace", "fill", "det")


def needs(*names: str) -> Callable[[Kept], bool]:
    return lambda kept: kept >= set(names)


PLANTED: dict[str, tuple[Callable[[Kept], bool], set[str]]] = {
    "nothing": (needs(), set()),
    "one": (needs("seed"), {"seed"}),
    "the last": (needs("det"), {"det"}),
    "two": (needs("seed", "det"), {"seed", "det"}),
    "neighbours": (needs("seed", "hash"), {"seed", "hash"}),
    "three": (needs("hash", "workers", "fill"), {"hash", "workers", "fill"}),
    "all": (needs(*SWITCHES), set(SWITCHES)),
    "either, the cheaper": (lambda kept: "warm" in kept or "det" in kept, {"warm"}),
    "either of two pairs": (
        lambda kept: kept >= {"seed", "warm"} or kept >= {"seed", "det"},
        {"seed", "warm"},
    ),
    "two that interact": (
        lambda kept: "seed" in kept and ("det" not in kept or "workspace" in kept),
        {"seed"},
    ),
    "one only with another": (
        lambda kept: "seed" in kept and kept >= {"det", "workspace"},
        {"seed", "det", "workspace"},
    ),
    "a pair or all": (
        lambda kept: kept >= {"generator", "workers"} or len(kept) == len(SWITCHES),
        {"generator", "workers"},
    ),
}


@pytest.mark.parametrize(("suffices", "expected"), PLANTED.values(), ids=PLANTED)
def test_the_planted_set_is_found(suffices: Callable[[Kept], bool], expected: set[str]) -> None:
    """Exactly the necessary switches, each of which was left out once."""
    search = SwitchSearch(SWITCHES, suffices)
    found = search.minimize()
    assert found == expected
    assert search.answers[found]
    assert all(search.answers[found - {name}] is False for name in found)


@pytest.mark.parametrize("necessary", range(6))
def test_few_sets_are_tested(necessary: int) -> None:
    """At most half of all sets, and for few necessary switches a small part of them."""
    for names in combinations(SWITCHES, necessary):
        search = SwitchSearch(SWITCHES, needs(*names))
        assert search.minimize() == {*names}
        assert len(search.answers) <= 5 + 6 * necessary
        assert len(search.answers) <= 2 ** len(SWITCHES) / 2


def test_without_an_answer_one_test_is_made() -> None:
    """If all switches do not suffice, nothing else is tried."""
    search = SwitchSearch(SWITCHES, needs("none of them"))
    assert search.minimize() is None
    assert list(search.answers) == [frozenset(SWITCHES)]


def test_a_switch_that_hurts_is_reported() -> None:
    """A set suffices and a larger one does not: the answer holds, and both sets are named."""
    search = SwitchSearch(
        SWITCHES, lambda kept: len(kept) == len(SWITCHES) or ("seed" in kept and "hash" not in kept)
    )
    found = search.minimize()
    assert found is not None
    assert search.answers[found]
    assert all(not search.answers[found - {name}] for name in found)
    for smaller, larger in find_contradictions(search.answers):
        assert smaller < larger
    assert find_contradictions(search.answers)


@pytest.mark.parametrize("seed", range(20))
def test_a_random_rule_gets_an_answer_that_was_tested(seed: int) -> None:
    """Whatever the rule, the answer suffices and no switch of it can be left out."""
    generator = random.Random(seed)
    known: dict[Kept, bool] = {frozenset(SWITCHES): True}

    def suffices(kept: Kept) -> bool:
        return known.setdefault(kept, generator.random() < 0.4)

    search = SwitchSearch(SWITCHES, suffices)
    found = search.minimize()
    assert found is not None
    assert known[found]
    assert all(not known[found - {name}] for name in found)


def test_a_refuted_answer_is_replaced() -> None:
    """If later runs of the answer differ, as with a rare fault, the search goes on without it."""
    rare = {"is_seen": False}

    def suffices(kept: Kept) -> bool:
        return "seed" in kept and ("warm" in kept or not rare["is_seen"])

    search = SwitchSearch(SWITCHES, suffices)
    first = search.minimize()
    assert first == {"seed"}
    rare["is_seen"] = True
    search.answers |= {kept: suffices(kept) for kept in search.answers}
    assert search.minimize() == {"seed", "warm"}
