"""The hash that is computed on a device detects planted differences; here it runs on the CPU."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from harness.worker.torch_backend import device_hash
from harness.worker.torch_backend.device_hash import BLOCK, word_sums
from tests.worker.torch_backend import test_digest


def hash_of(*tensors: Tensor) -> list[list[int]]:
    return word_sums(tensors).tolist()


def test_the_sums_are_those_of_the_definition() -> None:
    """Each sum is that of key times word, modulo 2**64, in exact arithmetic."""
    words = [1, -1, 2**31 - 1, -(2**31), 12345]
    rows = device_hash._keys(torch.device("cpu"))[:, : len(words)].tolist()
    exact = [sum(key * word for key, word in zip(row, words, strict=True)) for row in rows]
    found = hash_of(torch.tensor(words, dtype=torch.int32))
    assert [value % 2**64 for value in found[0]] == [value % 2**64 for value in exact]


PINNED = [[-5433237136170221568, -6437306678577856512], [-7309920739513466880, 8775655470418296832]]


def test_the_definition_never_changes() -> None:
    """A tensor of two blocks has its pinned sums."""
    tensor = (torch.arange(BLOCK + 3) % 251).float()
    assert hash_of(tensor) == PINNED


SHARED = (
    "sign of zero",
    "NaN payload",
    "permutation",
    "swapped pair",
    "ones and zeros",
    "one ulp beside 1e30",
    "one bool",
)
FAULTS = {
    **{name: test_digest.FAULTS[name] for name in SHARED},
    "two signs of zero": (torch.tensor([0.0, 0.0]), torch.tensor([-0.0, -0.0])),
    "all signs": (torch.ones(64), -torch.ones(64)),
    "words that add up": (torch.tensor([3, 5]), torch.tensor([4, 4])),
    "last of five bytes": (
        torch.tensor([0, 0, 0, 0, 1], dtype=torch.uint8),
        torch.tensor([0, 0, 0, 0, 2], dtype=torch.uint8),
    ),
    "half of a word": (
        torch.tensor([1.0, 2.0, 3.0], dtype=torch.bfloat16),
        torch.tensor([2.0, 1.0, 3.0], dtype=torch.bfloat16),
    ),
    "high half of int64": (torch.tensor([1]), torch.tensor([1 + 2**32])),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_difference_is_detected(fault: str) -> None:
    """Two tensors that differ in only one respect have different sums, in both rows."""
    first, second = (word_sums([tensor]) for tensor in FAULTS[fault])
    assert (first != second).all()


@pytest.mark.parametrize("index", [0, BLOCK - 1, BLOCK, 2 * BLOCK, -1])
def test_a_difference_in_any_block_is_detected(index: int) -> None:
    """A changed sign of zero is detected at the start, the end and the borders of blocks."""
    zeros = torch.zeros(2 * BLOCK + 3)
    changed = zeros.clone()
    changed[index] = -0.0
    assert hash_of(zeros) != hash_of(changed)


def test_swapped_blocks_are_detected() -> None:
    """A tensor with its two blocks in reverse order has other sums."""
    tensor = torch.cat([torch.zeros(BLOCK), torch.ones(BLOCK)])
    assert hash_of(tensor) != hash_of(tensor.flip(0))


@settings(deadline=None, max_examples=200)
@given(
    values=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=50),
    flips=st.sets(st.tuples(st.integers(0, 49), st.integers(0, 31)), min_size=1, max_size=4),
)
def test_any_flipped_bits_are_detected(values: list[int], flips: set[tuple[int, int]]) -> None:
    """Flipping one to four bits changes the sums; the wrong function would let some cancel."""
    original = torch.tensor(values, dtype=torch.int32)
    flipped = original.clone()
    for position, bit in flips:
        mask = torch.tensor(1 << bit if bit < 31 else -(2**31), dtype=torch.int32)
        flipped[position % len(values)] ^= mask
    assert (hash_of(original) == hash_of(flipped)) == bool(torch.equal(original, flipped))


def test_no_two_of_many_sign_patterns_collide() -> None:
    """All 65,536 patterns of signs of 16 zeros have different sums in each row."""
    bits = torch.arange(2**16)[:, None] >> torch.arange(16) & 1
    words = torch.where(bits.bool(), -(2**31), 0)
    keys = device_hash._keys(torch.device("cpu"))[:, :16]
    for row in keys:
        assert len((words * row).sum(1).unique()) == 2**16


@pytest.mark.parametrize(
    "lengths", [(3, 5), (BLOCK - 1, 2), (1, BLOCK, 1), (2 * BLOCK,), (0, 4, 0)]
)
def test_blocks_do_not_depend_on_the_borders_of_tensors(lengths: tuple[int, ...]) -> None:
    """Tensors in sequence have the sums of the one tensor that they were cut from."""
    whole = torch.randn(sum(lengths))
    assert hash_of(*whole.split(lengths)) == hash_of(whole)


def test_no_words_have_no_sums() -> None:
    """Tensors without elements have no block."""
    assert hash_of(torch.zeros(0, 3)) == []


EQUALS = {
    "strides": (torch.arange(6.0).reshape(2, 3).T, torch.arange(6.0).reshape(2, 3).T.contiguous()),
    "offset of one byte": (
        torch.arange(9, dtype=torch.uint8)[1:],
        torch.arange(9, dtype=torch.uint8)[1:].clone(),
    ),
    "expanded": (torch.ones(1).expand(5), torch.ones(5)),
}


@pytest.mark.parametrize("case", EQUALS)
def test_equal_tensors_have_equal_sums(case: str) -> None:
    """Layout in memory does not change the sums."""
    first, second = EQUALS[case]
    assert hash_of(first) == hash_of(second)
