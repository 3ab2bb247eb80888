"""Distances between parameters, on planted differences."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.distances import distance, max_ulp


def array(*values: float, dtype: type = np.float32) -> np.ndarray[tuple[int], np.dtype[np.generic]]:
    return np.array(values, dtype=dtype)


def test_a_distance_is_relative_to_the_norm() -> None:
    """Vectors of norm 5 that are 5 apart have a relative distance of 1."""
    result = distance({"w": array(3, 4)}, {"w": array(3, 9)})
    assert result.rel_l2 == pytest.approx(1.0)
    assert result.differing == 0.5


def test_equal_bits_have_no_distance() -> None:
    """Arrays with equal bits have no distance, even if they contain NaN."""
    same = {"w": array(1, -0.0, math.nan)}
    result = distance(same, {"w": same["w"].copy()})
    assert (result.differing, result.max_ulp) == (0.0, 0)


def test_signed_zeros_are_0_ulps_apart() -> None:
    """Zeros of different sign differ in their bits, but are 0 ULPs apart."""
    result = distance({"w": array(0.0, 1)}, {"w": array(-0.0, 1)})
    assert (result.rel_l2, result.max_ulp, result.differing) == (0.0, 0, 0.5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_neighbors_are_one_ulp_apart(dtype: type) -> None:
    """Adjacent floats of every dtype are 1 ULP apart, whatever their sign and size."""
    for start in (1.0, -1.0, 0.0, 1e4):
        value = np.array([start], dtype=dtype)
        assert max_ulp(value, np.nextafter(value, dtype(np.inf))) == 1


def test_ulps_are_counted_across_zero() -> None:
    """The smallest negative and the smallest positive float are 2 ULPs apart."""
    tiny = np.nextafter(array(0), np.float32(1))
    assert max_ulp(-tiny, tiny) == 2


def test_the_extremes_of_float64_do_not_overflow() -> None:
    """The ULPs between the extremes of float64 exceed 64 signed bits without overflow."""
    huge = np.finfo(np.float64).max
    assert max_ulp(array(-huge, dtype=np.float64), array(huge, dtype=np.float64)) > 2**63


@given(st.floats(-(2.0**100), 2.0**100, width=32), st.integers(0, 1000))
def test_n_steps_are_n_ulps(start: float, steps: int) -> None:
    """A float that is n steps above another is n ULPs away."""
    first = np.array([start], dtype=np.float32)
    last = first.copy()
    for _ in range(steps % 20):
        last = np.nextafter(last, np.float32(np.inf))
    if np.isfinite(last).all() and np.isfinite(first).all():
        assert max_ulp(first, last) == steps % 20


def test_differing_shapes_are_rejected() -> None:
    """Arrays of different shapes have no distance and raise an error."""
    with pytest.raises(ValueError, match="shapes"):
        distance({"w": array(1)}, {"w": array(1, 2)})
