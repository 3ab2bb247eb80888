"""Where two results first differ, and how far they differ overall."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.analysis.distances import Array, bit_pattern, max_ulp
from harness.core.leaf_file import Leaf, Leaves

# Dtypes whose distances are reported in ulp. The value is how many ulps of the storage dtype
# (worker/torch_backend/snapshot.py) make one ulp of the dtype itself: bfloat16 is stored as float32
# and is its upper half.
ULPS = {
    f"torch.{name}": 1
    for name in ("float16", "float32", "float64", "complex32", "complex64", "complex128")
} | {"torch.bfloat16": 2**16}


@dataclass(frozen=True)
class Difference:
    """The first leaf that differs, in the order of the first result, and totals over all leaves."""

    name: str  # of the first differing leaf
    one: str  # its first differing element, plain value, or description, in the first result
    other: str  # the same in the second result
    element: tuple[int, ...] | None  # index of that element; None if there is none or not stored
    is_tensor: bool
    ulp: int | None  # distance between those two elements; None if undefined
    differing: int | None  # elements of all tensors whose bits differ; None if some were not stored
    elements: int  # of all tensors in the first result
    max_ulp: int | None  # over all elements that have a distance

    def describe(self, one: str, other: str) -> str:
        """``one`` and ``other`` name the two results, for example "run 1" or "the golden file"."""
        index = f"[{', '.join(map(str, self.element))}]" if self.element else ""
        distance = "" if self.ulp is None else f", {self.ulp:,} ulp apart"
        return (
            f"{self.name}{index} is {self.one} in {one} and {self.other} in {other}{distance}"
            f"{self._describe_totals()}"
        )

    def _describe_totals(self) -> str:
        if not self.differing or self.elements == 1:
            return ""
        distance = "" if self.max_ulp is None else f", by at most {self.max_ulp:,} ulp"
        verb = "differs" if self.differing == 1 else "differ"
        return f". {self.differing:,} of {self.elements:,} elements {verb}{distance}"


def difference(
    one: Leaves, other: Leaves, tensors: Mapping[str, Array], other_tensors: Mapping[str, Array]
) -> Difference | None:
    """Return the difference between two results, or None if they are equal in any order of names.

    ``tensors`` and ``other_tensors`` hold the elements of each result's tensors by leaf name, as
    far as they were stored.
    """
    a, b = ({leaf.name: leaf for leaf in leaves} for leaves in (one, other))
    names = [name for name in dict.fromkeys([*a, *b]) if a.get(name) != b.get(name)]
    if not names:
        return None
    pairs = [
        (a.get(name), b.get(name), tensors.get(name), other_tensors.get(name)) for name in names
    ]
    counted = [_count_differing(*pair) for pair in pairs]
    known = [differing for differing, _ in counted if differing is not None]
    ulps = [ulp for _, ulp in counted if ulp is not None]
    element, words, ulp = _find_first(*pairs[0])
    return Difference(
        name=names[0],
        one=words[0],
        other=words[1],
        element=element,
        is_tensor=any(leaf is not None and leaf.shape is not None for leaf in pairs[0][:2]),
        ulp=ulp,
        differing=sum(known) if len(known) == len(counted) else None,
        elements=sum(math.prod(leaf.shape) for leaf in one if leaf.shape is not None),
        max_ulp=max(ulps, default=None),
    )


def _are_comparable(a: Leaf | None, b: Leaf | None) -> bool:
    """Whether both are tensors of the same dtype and shape, so that elements correspond."""
    return (
        a is not None
        and b is not None
        and a.shape is not None
        and (a.kind, a.shape) == (b.kind, b.shape)
    )


def _count_differing(
    a: Leaf | None, b: Leaf | None, x: Array | None, y: Array | None
) -> tuple[int | None, int | None]:
    """Return the number of differing elements and the largest distance in ulp.

    If the leaves are not comparable, every element of the first counts and there is no distance.
    """
    if not _are_comparable(a, b):
        return (math.prod(a.shape) if a is not None and a.shape is not None else 0), None
    assert a is not None
    if x is None or y is None:
        return None, None
    differing = _unequal(a, x, y)
    return int(np.count_nonzero(differing)), _max_distance(a.kind, x, y)


def _unequal(leaf: Leaf, x: Array, y: Array) -> Array:
    """Return a flat mask of the elements whose bits differ; a complex number is one element."""
    mask: Array = np.not_equal(_as_rows(leaf, bit_pattern(x)), _as_rows(leaf, bit_pattern(y)))
    return np.asarray(mask.any(axis=1))


def _max_distance(kind: str, x: Array, y: Array) -> int | None:
    """Return the distance in ulp of ``kind``; None if it has no ulp or every pair has a NaN."""
    if kind not in ULPS or bool((np.isnan(x) | np.isnan(y)).all()):
        return None
    return max_ulp(x, y) // ULPS[kind]


def _find_first(
    a: Leaf | None, b: Leaf | None, x: Array | None, y: Array | None
) -> tuple[tuple[int, ...] | None, tuple[str, str], int | None]:
    """Return the first differing element's index, both values as text, and their distance."""
    if not _are_comparable(a, b):
        return None, (_describe_leaf(a), _describe_leaf(b)), None
    assert a is not None
    assert b is not None
    assert a.shape is not None
    if x is None or y is None or not _unequal(a, x, y).any():
        return None, (_describe_digest(a), _describe_digest(b)), None
    position = int(np.argmax(_unequal(a, x, y)))
    one, other = (_as_rows(a, values)[position] for values in (x, y))
    index = tuple(int(i) for i in np.unravel_index(position, a.shape))
    return index, _format_pair(one, other), _max_distance(a.kind, one, other)


def _as_rows(leaf: Leaf, values: Array) -> Array:
    """One row per element: one number, or the two parts of a complex number."""
    return values.reshape(-1, 2 if "complex" in leaf.kind else 1)


def _describe_leaf(leaf: Leaf | None) -> str:
    if leaf is None:
        return "missing"
    return leaf.value if leaf.shape is None else f"{leaf.kind} of shape {leaf.shape}"


def _describe_digest(leaf: Leaf) -> str:
    return f"{leaf.kind} of shape {leaf.shape} with digest {leaf.value}"


def _format_pair(one: Array, other: Array) -> tuple[str, str]:
    """Format both as NumPy does, and add their bits if the two would read the same."""
    a, b = _format_number(one), _format_number(other)
    return (a, b) if a != b else (f"{a} (bits {_to_hex(one)})", f"{b} (bits {_to_hex(other)})")


def _format_number(values: Array) -> str:
    if len(values) == 1:
        return str(values[0])
    return f"{values[0]}{values[1]:+}j"


def _to_hex(values: Array) -> str:
    return " ".join(f"0x{int(bits):0{2 * values.itemsize}x}" for bits in bit_pattern(values))
