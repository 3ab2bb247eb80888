"""The digests of steps as columns."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.steps import COMPONENTS, Components, Steps, first_difference

HEXADECIMAL = st.text("0123456789abcdef", min_size=32, max_size=32)
DIGESTS = HEXADECIMAL | st.text("0123456789abcdefABxyz", max_size=33)  # empty: not digested
STEPS = st.lists(st.builds(Components, *[DIGESTS] * len(COMPONENTS)), max_size=6)


@given(STEPS)
def test_steps_survive_json(steps: list[Components]) -> None:
    """Columns read from JSON hold the steps that were written, none of them lost or merged."""
    packed = Steps.from_json(json.loads(json.dumps(Steps.of(steps).to_json())))
    assert list(packed) == steps
    assert len(packed) == len(steps)
    assert packed == Steps.of(steps)


def test_rows_of_earlier_versions_are_read() -> None:
    """Earlier versions wrote a row of seven digests for each step."""
    rows = [list("abcdefg"), list("hijklmn")]
    assert list(Steps.from_json(rows)) == [Components(*"abcdefg"), Components(*"hijklmn")]


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        [["a"] * 3],
        [["a"] * 8],
        dict.fromkeys(COMPONENTS[1:], "a "),
        {**dict.fromkeys(COMPONENTS, "a "), "rng": "a b "},
    ],
)
def test_damaged_steps_are_refused(damaged: object) -> None:
    """Missing or superfluous digests are an error that `load_record` reports, not a difference."""
    with pytest.raises((ValueError, KeyError, TypeError)):
        Steps.from_json(damaged)


@given(STEPS, STEPS)
def test_steps_are_equal_if_all_digests_are(a: list[Components], b: list[Components]) -> None:
    """Different steps never have the same columns, also if digests are empty."""
    assert (Steps.of(a) == Steps.of(b)) == (a == b)


@given(STEPS)
def test_a_slice_is_that_of_the_list(steps: list[Components]) -> None:
    """A part of the steps has their components in order."""
    packed = Steps.of(steps)
    assert list(packed[1:4]) == steps[1:4]
    assert [packed[index] for index in range(len(packed))] == steps


@pytest.mark.parametrize(
    ("other", "expected"), [("a b c ", None), ("a b x ", 2), ("x b y ", 0), ("a b ", None)]
)
def test_the_first_difference_is_found(other: str, expected: int | None) -> None:
    """It is the index of the first of the common digests that differs."""
    assert first_difference("a b c ", other) == expected
    assert first_difference(other, "a b c ") == expected
