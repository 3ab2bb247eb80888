"""Comparison of simulated results: the first difference, its size, and the number of runs."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness.core.verdict import Verdict
from harness.testing.comparison import Comparison, compare
from harness.testing.difference import Difference
from harness.worker.torch_backend import values


def comparison(folder: Path, *results: Any) -> Comparison:
    folders = []
    for number, result in enumerate(results):
        leaves = values.flatten(result, "result")
        (folder / str(number)).mkdir()
        values.save_result(
            folder / str(number), [leaf for leaf, _ in leaves], values.copy_tensors(leaves)
        )
        folders.append(folder / str(number))
    return compare(folders)


def difference_of(folder: Path, one: Any, other: Any) -> Difference:
    difference = comparison(folder, one, other).difference
    assert difference is not None
    return difference


def test_runs_are_compared_with_the_first(tmp_path: Path) -> None:
    """A comparison counts the runs that differ from run 1 and describes the first of them."""
    result = comparison(tmp_path, 1.0, 1.0, 2.0, 3.0, 2.0)
    assert (result.runs, result.distinct, result.differing, result.parted) == (5, 3, 3, 3)
    assert result.verdict is Verdict.varies
    assert result.describe() == (
        "3 of 5 runs differ from run 1 (3 distinct results).\n"
        "result is 1.0 in run 1 and 2.0 in run 3, 4,503,599,627,370,496 ulp apart."
    )


def test_dictionary_order_does_not_matter(tmp_path: Path) -> None:
    """Dictionaries with the same items in another order are identical."""
    result = comparison(tmp_path, {"a": 1, "b": torch.ones(2)}, {"b": torch.ones(2), "a": 1})
    assert (result.verdict, result.difference) == (Verdict.identical, None)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_distances_are_in_ulps_of_the_tensors_dtype(tmp_path: Path, name: str) -> None:
    """Adjacent numbers of a floating-point dtype are 1 ulp apart."""
    one = torch.tensor([[1.0, -2.0], [0.0, 3.0]], dtype=getattr(torch, name))
    other = one.clone()
    bits = other.view(
        torch.int64 if name == "float64" else torch.int32 if name == "float32" else torch.int16
    )
    bits[0, 1] += 1
    bits[1, 1] += 5
    difference = difference_of(tmp_path, [one], [other])
    assert (difference.name, difference.element, difference.ulp) == ("result.0", (0, 1), 1)
    assert (difference.differing, difference.elements, difference.max_ulp) == (2, 4, 5)


def test_values_that_print_the_same_are_shown_with_their_bits(tmp_path: Path) -> None:
    """Two NaNs with different payloads differ and are shown with their bits."""
    one = torch.zeros(3)
    one.view(torch.int32)[2] = 0x7FC00001
    other = torch.zeros(3)
    other.view(torch.int32)[2] = 0x7FC00002
    difference = difference_of(tmp_path, one, other)
    assert (difference.element, difference.ulp, difference.differing) == ((2,), None, 1)
    assert (difference.one, difference.other) == ("nan (bits 0x7fc00001)", "nan (bits 0x7fc00002)")


def test_zeros_of_opposite_sign_differ_by_zero_ulps(tmp_path: Path) -> None:
    """+0 and -0 differ although their distance is 0 ulp."""
    difference = difference_of(tmp_path, torch.tensor(0.0), torch.tensor(-0.0))
    assert (difference.element, difference.ulp) == ((), 0)
    assert (difference.one, difference.other) == ("0.0", "-0.0")


def test_a_complex_number_is_one_element(tmp_path: Path) -> None:
    """A complex number counts as one element and is shown with both parts."""
    one, other = torch.tensor([1 + 1j, 2 + 2j]), torch.tensor([1 + 1j, 2 - 2j])
    difference = difference_of(tmp_path, one, other)
    assert (difference.element, difference.one, difference.other) == ((1,), "2.0+2.0j", "2.0-2.0j")
    assert (difference.differing, difference.elements) == (1, 2)


@pytest.mark.parametrize(
    ("one", "other", "description"),
    [
        (3, 4, "result.x is 3 in A and 4 in B"),
        (3, 3.0, "result.x is 3 in A and torch.float64 of shape () in B"),
        ("a", "b", "result.x is 'a' in A and 'b' in B"),
        (True, 1, "result.x is True in A and 1 in B"),
        (
            torch.tensor([1, 2]),
            torch.tensor([1, 5]),
            "result.x[1] is 2 in A and 5 in B. 1 of 2 elements differs",
        ),
        (
            torch.zeros(2),
            torch.zeros(3),
            "result.x is torch.float32 of shape (2,) in A and torch.float32 of shape (3,) in B"
            + ". 2 of 2 elements differ",
        ),
        ([1], [1, 2], "result.x.1 is missing in A and 2 in B"),
    ],
)
def test_each_kind_of_difference_is_described(
    tmp_path: Path, one: Any, other: Any, description: str
) -> None:
    """Differences in value, type, element, shape and length each have a description."""
    assert difference_of(tmp_path, {"x": one}, {"x": other}).describe("A", "B") == description


def test_one_byte_floats_have_no_ulp_distance(tmp_path: Path) -> None:
    """8-bit floats are stored as float32, which has other ulps, so no distance is reported."""
    one = torch.tensor([0x7F, 0x01], dtype=torch.uint8).view(torch.float8_e4m3fn)
    other = torch.tensor([0xFF, 0x03], dtype=torch.uint8).view(torch.float8_e4m3fn)
    difference = difference_of(tmp_path, one, other)
    assert difference.ulp is None
    assert difference.max_ulp is None


@dataclasses.dataclass
class State:
    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: Any


def test_models_and_optimizers_are_compared_by_state_dict(tmp_path: Path) -> None:
    """A model, an optimizer and a scheduler are compared by their state_dict."""
    net = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    state = State(net, optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 2))
    other = copy.deepcopy(state)
    other.optimizer.param_groups[0]["lr"] = 0.2
    difference = difference_of(tmp_path, state, other)
    assert difference.name == "result.optimizer.param_groups.0.lr"
    assert (difference.one, difference.other) == ("0.1", "0.2")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"x": {1, 2}}, "'result.x' is a set, which has no order"),
        ({"x": print}, "'result.x' is a builtin_function_or_method, which has no defined bits"),
        (
            {"x": np.array(["a"])},
            "'result.x' is an array of dtype <U1, which torch does not support",
        ),
        ({1: 2, "1": 3}, "two values are both named 'result.1'"),
        (None, "'result' is None, which says nothing"),
        ([], r"'result' is \[\], which says nothing"),
    ],
)
def test_values_without_defined_bits_are_rejected(value: Any, message: str) -> None:
    """Sets, functions, string arrays, duplicate names and empty values are rejected by name."""
    with pytest.raises((TypeError, ValueError), match=message):
        values.flatten(value, "result")


def test_arrays_of_any_memory_layout_are_accepted() -> None:
    """A read-only, big-endian, reversed array equals the same values in a plain tensor."""
    array = np.arange(6, dtype=">f4").reshape(2, 3)[:, ::-1]
    array.setflags(write=False)
    ((leaf, _),) = values.flatten(array, "x")
    ((same, _),) = values.flatten(torch.tensor([[2.0, 1, 0], [5, 4, 3]]), "x")
    assert leaf == same
