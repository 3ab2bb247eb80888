"""The digest detects every planted difference and raises no false alarm."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from harness.worker.hashing import array_part, hash_parts
from harness.worker.torch_backend.digest import CHUNK, digest


def digest_tensor(tensor: Tensor, name: str = "w") -> str:
    return digest([(name, tensor)])


def make_nan(payload: int) -> Tensor:
    return torch.frombuffer(bytearray(struct.pack("<I", 0x7FC00000 | payload)), dtype=torch.float32)


def make_coo(index: int, size: int) -> Tensor:
    with torch.sparse.check_sparse_tensor_invariants():
        return torch.sparse_coo_tensor([[index]], [1.0], (size,))


def make_jagged(*lengths: int) -> Tensor:
    parts = [torch.ones(length, 2) for length in lengths]
    return torch.nested.nested_tensor(parts, layout=torch.jagged)


X = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
FAULTS = {
    "sign of zero": (torch.tensor([0.0]), torch.tensor([-0.0])),
    "NaN payload": (make_nan(1), make_nan(2)),
    "permutation": (torch.tensor([1.0, 2.0, 3.0]), torch.tensor([3.0, 1.0, 2.0])),
    "swapped pair": (torch.tensor([1.0, 2.0]), torch.tensor([2.0, 1.0])),
    "ones and zeros": (torch.ones(4), torch.zeros(4)),
    "one ulp beside 1e30": (torch.tensor([1e30, 1.0]), torch.tensor([1e30, 1.0 + 2**-23])),
    "dtype": (torch.zeros(4, dtype=torch.float32), torch.zeros(4, dtype=torch.int32)),
    "bfloat16 and float16": (
        torch.zeros(4, dtype=torch.bfloat16),
        torch.zeros(4, dtype=torch.half),
    ),
    "shape": (X, X.reshape(3, 2, 4)),
    "rank": (torch.zeros(1), torch.zeros(())),
    "length of zeros": (torch.zeros(4), torch.zeros(5)),
    "empty shapes": (torch.zeros(0, 3), torch.zeros(3, 0)),
    "transposition": (X[0], X[0].T.contiguous().reshape(3, 4)),
    "one bool": (torch.tensor([True, False]), torch.tensor([True, True])),
    "imaginary part": (torch.tensor([1 + 1j]), torch.tensor([1 - 1j])),
    "sparse position": (make_coo(0, 3), make_coo(1, 3)),
    "sparse size": (make_coo(0, 3), make_coo(0, 4)),
    "jagged borders": (make_jagged(2, 4), make_jagged(3, 3)),
    "lazy parameter": (torch.nn.UninitializedParameter(), torch.empty(0)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_difference_is_detected(fault: str) -> None:
    """Two tensors that differ in only one respect have different digests."""
    first, second = FAULTS[fault]
    assert digest_tensor(first) != digest_tensor(second)


def test_a_name_is_part_of_the_digest() -> None:
    """Equal tensors with different names have different digests."""
    assert digest_tensor(X, "a") != digest_tensor(X, "b")


def test_named_tensors_are_kept_apart() -> None:
    """Neither another order nor one concatenated tensor gives the same digest."""
    a, b = torch.zeros(1), torch.ones(1)
    assert digest([("a", a), ("b", b)]) != digest([("b", b), ("a", a)])
    assert digest([("a", a), ("b", b)]) != digest([("ab", torch.cat([a, b]))])


def test_plain_values_are_part_of_the_digest() -> None:
    """Different plain values give different digests."""
    assert digest([], {"lr": 0.1}) != digest([], {"lr": 0.2})


EQUALS = {
    "strides": (X, X.transpose(0, 2).contiguous().transpose(0, 2)),
    "storage offset": (X[1], X[1].clone()),
    "expanded": (torch.ones(1).expand(5), torch.ones(5)),
    "gradient tracking": (torch.ones(3, requires_grad=True), torch.ones(3)),
    "lazy conjugation": (torch.tensor([1 + 2j]).conj(), torch.tensor([1 - 2j])),
    "lazy negation": (torch._neg_view(torch.ones(2)), -torch.ones(2)),
    "parameter": (torch.nn.Parameter(torch.ones(3)), torch.ones(3)),
}


@pytest.mark.parametrize("case", EQUALS)
def test_equal_tensors_have_equal_digests(case: str) -> None:
    """Layout in memory, lazy operations and gradient tracking do not change a digest."""
    first, second = EQUALS[case]
    assert digest_tensor(first) == digest_tensor(second)


def test_a_saved_tensor_keeps_its_digest(tmp_path: object) -> None:
    """A tensor that is loaded from a file has the digest of the tensor that was saved."""
    path = f"{tmp_path}/x.pt"
    torch.save(X, path)
    assert digest_tensor(torch.load(path)) == digest_tensor(X)


@pytest.mark.parametrize("index", [0, CHUNK // 4 - 1, CHUNK // 4, -1])
def test_a_difference_in_any_chunk_is_detected(index: int) -> None:
    """A changed sign of zero is detected at the start, the end and the borders of chunks."""
    zeros = torch.zeros(CHUNK // 4 * 2 + 3)
    changed = zeros.clone()
    changed[index] = -0.0
    assert digest_tensor(zeros) != digest_tensor(changed)


def test_swapped_chunks_are_detected() -> None:
    """A tensor with its two chunks in reverse order has another digest."""
    half = CHUNK // 4
    tensor = torch.cat([torch.zeros(half), torch.ones(half)])
    assert digest_tensor(tensor) != digest_tensor(tensor.flip(0))


@pytest.mark.filterwarnings("ignore:Sparse CSC")  # torch warns that it is in beta
def test_a_layout_without_defined_bytes_is_refused() -> None:
    """A sparse CSC tensor raises TypeError with its name."""
    with torch.sparse.check_sparse_tensor_invariants():
        csc = torch.eye(3).to_sparse_csc()
    with pytest.raises(TypeError, match="'w'"):
        digest_tensor(csc)


@settings(deadline=None, max_examples=200)
@given(
    values=st.lists(st.floats(width=32), min_size=1, max_size=50),
    position=st.integers(min_value=0),
    bit=st.integers(0, 31),
)
def test_any_flipped_bit_is_detected(values: list[float], position: int, bit: int) -> None:
    """Flipping any bit changes the digest, and flipping it back restores the digest."""
    original = torch.tensor(values, dtype=torch.float32)
    flipped = original.clone()
    raw = flipped.view(torch.int32)
    mask = torch.tensor(1 << bit if bit < 31 else -(2**31), dtype=torch.int32)
    raw[position % len(values)] ^= mask
    assert digest_tensor(original) != digest_tensor(flipped)
    raw[position % len(values)] ^= mask
    assert digest_tensor(original) == digest_tensor(flipped)


# Published studies contain such digests, so the definition must never change.
PINNED = {
    "float32": (X, "7cf0ea285b3e41fe8161b943b8a6596a"),
    "float64": (
        torch.tensor([0.1, -0.0, 1e300], dtype=torch.float64),
        "551f52fa333f789eb17719b4c2ae1db3",
    ),
    "bfloat16": (
        torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "91d79809f926c6030b792a6d79f5e923",
    ),
    "int64": (torch.tensor([[1, -1], [2**40, 0]]), "f55e20906bd7714adeb3ed2ccc7ef79b"),
    "uint8": (torch.arange(256).to(torch.uint8), "78e8383d07bfc3ce0ad95f0f236b9cd2"),
    "bool": (torch.tensor([True, False]), "a948bdf7e499d42dfe43477e6e8bf05b"),
    "scalar": (torch.tensor(2.5), "33c919acd212599fa475d957c1f23b51"),
    "empty": (torch.zeros(3, 0), "f67a61bc63c4429f67f9025d24297c09"),
    "coo": (make_coo(1, 3), "c51421fa5c48b14d690e7ece88ee66a5"),
    "chunks": ((torch.arange(CHUNK // 4 + 3) % 251).float(), "e54bb3895dd7b3e2212d0d0b904369b4"),
}


@pytest.mark.parametrize("name", PINNED)
def test_the_digest_of_a_tensor_never_changes(name: str) -> None:
    """Tensors of all kinds have their pinned digests."""
    tensor, pinned = PINNED[name]
    assert digest_tensor(tensor, name) == pinned


def test_the_digest_of_tensors_and_values_never_changes() -> None:
    """Several tensors and plain values together have their pinned digest."""
    named = [(name, PINNED[name][0]) for name in ("float32", "int64")]
    plain = {"lr": 0.1, "betas": [0.9, 0.999]}
    assert digest(named, plain) == "32583b2f2c503d7f8dd5b298e2195da4"


ARRAYS = [name for name, (tensor, _) in PINNED.items() if name not in ("bfloat16", "coo")]


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_has_the_digest_of_the_equivalent_tensor(name: str) -> None:
    """A NumPy array has the pinned digest of the tensor with the same bytes."""
    tensor, pinned = PINNED[name]
    assert hash_parts([array_part(name, tensor.numpy())]) == pinned


def test_strides_and_byte_order_of_an_array_are_ignored() -> None:
    """An array in Fortran order or big-endian has the digest of the plain array."""
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    expected = hash_parts([array_part("w", array)])
    assert hash_parts([array_part("w", np.asfortranarray(array))]) == expected
    assert hash_parts([array_part("w", array.astype(">f4"))]) == expected


@pytest.mark.parametrize("values", [["a"], [None], np.zeros(1, [("x", "f4")])])
def test_an_array_of_anything_but_numbers_is_refused(values: object) -> None:
    """Strings, objects and records raise TypeError with the name of the array."""
    with pytest.raises(TypeError, match="array 'w'"):
        array_part("w", np.asarray(values))
