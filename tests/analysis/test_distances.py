"""Distances of parameters, on planted differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.distances import distance, max_ulp


def array(*values: float, dtype: type = np.float32) -> np.ndarray[tuple[int], np.dtype[np.generic]]:
    return np.array(values, dtype=dtype)


def test_three_four_five() -> None:
    found = distance({"w": array(3, 4)}, {"w": array(3, 9)})
    assert found.rel_l2 == pytest.approx(1.0)
    assert found.differing == 0.5


def test_equal_bits_have_no_distance() -> None:
    same = {"w": array(1, -0.0, math.nan)}
    found = distance(same, {"w": same["w"].copy()})
    assert (found.differing, found.max_ulp) == (0.0, 0)


def test_a_sign_of_zero_differs_by_no_ulp() -> None:
    found = distance({"w": array(0.0, 1)}, {"w": array(-0.0, 1)})
    assert (found.rel_l2, found.max_ulp, found.differing) == (0.0, 0, 0.5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_neighbours_are_one_ulp_apart(dtype: type) -> None:
    for start in (1.0, -1.0, 0.0, 1e4):
        one = np.array([start], dtype=dtype)
        assert max_ulp(one, np.nextafter(one, dtype(np.inf))) == 1


def test_ulps_are_counted_across_zero() -> None:
    tiny = np.nextafter(array(0), np.float32(1))
    assert max_ulp(-tiny, tiny) == 2


def test_the_ends_of_float64_are_counted_without_overflow() -> None:
    huge = np.finfo(np.float64).max
    assert max_ulp(array(-huge, dtype=np.float64), array(huge, dtype=np.float64)) > 2**63


@given(st.floats(-(2.0**100), 2.0**100, width=32), st.integers(0, 1000))
def test_so_many_steps_are_so_many_ulps(start: float, steps: int) -> None:
    one = np.array([start], dtype=np.float32)
    other = one.copy()
    for _ in range(steps % 20):
        other = np.nextafter(other, np.float32(np.inf))
    if np.isfinite(other).all() and np.isfinite(one).all():
        assert max_ulp(one, other) == steps % 20


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        distance({"w": array(1)}, {"w": array(1, 2)})
