"""Results of made-up runs: what differs first, by how much, and how many runs do."""

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
        seen = values.flatten(result, "result")
        (folder / str(number)).mkdir()
        values.save_result(
            folder / str(number), [leaf for leaf, _ in seen], values.copy_tensors(seen)
        )
        folders.append(folder / str(number))
    return compare(folders)


def parted(folder: Path, one: Any, other: Any) -> Difference:
    found = comparison(folder, one, other).difference
    assert found is not None
    return found


def test_runs_are_counted_against_the_first(tmp_path: Path) -> None:
    found = comparison(tmp_path, 1.0, 1.0, 2.0, 3.0, 2.0)
    assert (found.runs, found.distinct, found.differing, found.parted) == (5, 3, 3, 3)
    assert found.verdict is Verdict.varies
    assert found.describe() == (
        "of 5 runs 3 differ from run 1 (3 different results).\n"
        "result is 1.0 in run 1 and 2.0 in run 3, 4,503,599,627,370,496 ulp apart."
    )


def test_the_order_of_a_dictionary_is_no_difference(tmp_path: Path) -> None:
    found = comparison(tmp_path, {"a": 1, "b": torch.ones(2)}, {"b": torch.ones(2), "a": 1})
    assert (found.verdict, found.difference) == (Verdict.identical, None)


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_a_neighbour_is_one_ulp_of_its_own_type_away(tmp_path: Path, name: str) -> None:
    one = torch.tensor([[1.0, -2.0], [0.0, 3.0]], dtype=getattr(torch, name))
    other = one.clone()
    bits = other.view(
        torch.int64 if name == "float64" else torch.int32 if name == "float32" else torch.int16
    )
    bits[0, 1] += 1
    bits[1, 1] += 5
    found = parted(tmp_path, [one], [other])
    assert (found.name, found.element, found.ulp) == ("result.0", (0, 1), 1)
    assert (found.differing, found.elements, found.max_ulp) == (2, 4, 5)


def test_what_prints_alike_is_told_by_its_bits(tmp_path: Path) -> None:
    one = torch.zeros(3)
    one.view(torch.int32)[2] = 0x7FC00001
    other = torch.zeros(3)
    other.view(torch.int32)[2] = 0x7FC00002
    found = parted(tmp_path, one, other)
    assert (found.element, found.ulp, found.differing) == ((2,), None, 1)
    assert (found.one, found.other) == ("nan (bits 0x7fc00001)", "nan (bits 0x7fc00002)")


def test_the_sign_of_zero_differs_by_no_ulp(tmp_path: Path) -> None:
    found = parted(tmp_path, torch.tensor(0.0), torch.tensor(-0.0))
    assert (found.element, found.one, found.other, found.ulp) == ((), "0.0", "-0.0", 0)


def test_a_complex_number_is_one_element(tmp_path: Path) -> None:
    one, other = torch.tensor([1 + 1j, 2 + 2j]), torch.tensor([1 + 1j, 2 - 2j])
    found = parted(tmp_path, one, other)
    assert (found.element, found.one, found.other) == ((1,), "2.0+2.0j", "2.0-2.0j")
    assert (found.differing, found.elements) == (1, 2)


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        (3, 4, "result.x is 3 in A and 4 in B"),
        (3, 3.0, "result.x is 3 in A and torch.float64 of shape () in B"),
        ("a", "b", "result.x is 'a' in A and 'b' in B"),
        (True, 1, "result.x is True in A and 1 in B"),
        (
            torch.tensor([1, 2]),
            torch.tensor([1, 5]),
            "result.x[1] is 2 in A and 5 in B. Of 2 elements 1 differs",
        ),
        (
            torch.zeros(2),
            torch.zeros(3),
            "result.x is torch.float32 of shape (2,) in A and torch.float32 of shape (3,) in B"
            + ". Of 2 elements 2 differ",
        ),
        ([1], [1, 2], "result.x.1 is missing in A and 2 in B"),
    ],
)
def test_each_kind_of_difference_has_its_words(
    tmp_path: Path, one: Any, other: Any, told: str
) -> None:
    assert parted(tmp_path, {"x": one}, {"x": other}).describe("A", "B") == told


def test_elements_that_were_not_kept_are_not_counted(tmp_path: Path) -> None:
    """Types of one byte are kept as float32, which loses which NaN it was, and has other ulps."""
    one = torch.tensor([0x7F, 0x01], dtype=torch.uint8).view(torch.float8_e4m3fn)
    other = torch.tensor([0xFF, 0x03], dtype=torch.uint8).view(torch.float8_e4m3fn)
    found = parted(tmp_path, one, other)
    assert found.ulp is None
    assert found.max_ulp is None


@dataclasses.dataclass
class State:
    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: Any


def test_models_and_optimizers_are_their_states(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    state = State(net, optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 2))
    other = copy.deepcopy(state)
    other.optimizer.param_groups[0]["lr"] = 0.2
    found = parted(tmp_path, state, other)
    assert found.name == "result.optimizer.param_groups.0.lr"
    assert (found.one, found.other) == ("0.1", "0.2")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"x": {1, 2}}, "'result.x' is a set, which has no order"),
        ({"x": print}, "'result.x' is a builtin_function_or_method, which has no defined bits"),
        ({"x": np.array(["a"])}, "'result.x' is an array of <U1, which torch has no type for"),
        ({1: 2, "1": 3}, "two values are both named 'result.1'"),
        (None, "'result' is None, which says nothing"),
        ([], r"'result' is \[\], which says nothing"),
    ],
)
def test_what_has_no_defined_bits_is_refused(value: Any, told: str) -> None:
    with pytest.raises((TypeError, ValueError), match=told):
        values.flatten(value, "result")


def test_arrays_of_any_memory_are_taken() -> None:
    array = np.arange(6, dtype=">f4").reshape(2, 3)[:, ::-1]
    array.setflags(write=False)
    ((leaf, _),) = values.flatten(array, "x")
    ((same, _),) = values.flatten(torch.tensor([[2.0, 1, 0], [5, 4, 3]]), "x")
    assert leaf == same
