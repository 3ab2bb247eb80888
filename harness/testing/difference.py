"""The first place where two results differ: leaf, element, distance; and how far the rest does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.analysis.distances import Array, bit_pattern, max_ulp
from harness.core.leaf_file import Leaf, Leaves

# Kinds that have units in the last place, with how many of those of the type that they are kept in
# (worker/snapshot.py) make one of their own: bfloat16 is the upper half of a float32.
ULPS = {
    f"torch.{name}": 1
    for name in ("float16", "float32", "float64", "complex32", "complex64", "complex128")
} | {"torch.bfloat16": 2**16}


@dataclass(frozen=True)
class Difference:
    """Of the first leaf that differs, in the order of the first result; then of all of them."""

    name: str
    one: str  # the first differing element, or a plain value, or what else it is, in words
    other: str
    element: tuple[int, ...] | None  # its place; None where there is none or it was not kept
    is_tensor: bool
    ulp: int | None  # between those two elements; None where they have no distance
    differing: int | None  # elements of all tensors whose bits differ; None where not all were kept
    elements: int
    max_ulp: int | None  # over all elements that have a distance

    def describe(self, one: str, other: str) -> str:
        """``one`` and ``other`` say where the results come from: run 1, the golden file."""
        if self.element is None:
            return f"{self.name} is {self.one} in {one} and {self.other} in {other}{self._rest()}"
        place = f"[{', '.join(map(str, self.element))}]" if self.element else ""
        apart = "" if self.ulp is None else f", {self.ulp:,} ulp apart"
        return (
            f"{self.name}{place} is {self.one} in {one} and {self.other} in {other}{apart}"
            f"{self._rest()}"
        )

    def _rest(self) -> str:
        """How far the results differ altogether, as a sentence."""
        if not self.differing or self.elements == 1:
            return ""
        most = "" if self.max_ulp is None else f", by at most {self.max_ulp:,} ulp"
        verb = "differs" if self.differing == 1 else "differ"
        return f". Of {self.elements:,} elements {self.differing:,} {verb}{most}"


def difference(
    one: Leaves, other: Leaves, kept: Mapping[str, Array], other_kept: Mapping[str, Array]
) -> Difference | None:
    """None where the two are equal, in whatever order their names come.

    ``kept`` has the tensors' elements, by name, as far as they were kept.
    """
    a, b = ({leaf.name: leaf for leaf in leaves} for leaves in (one, other))
    names = [name for name in dict.fromkeys([*a, *b]) if a.get(name) != b.get(name)]
    if not names:
        return None
    pairs = [(a.get(name), b.get(name), kept.get(name), other_kept.get(name)) for name in names]
    counted = [_count(*pair) for pair in pairs]
    known = [differing for differing, _ in counted if differing is not None]
    ulps = [ulp for _, ulp in counted if ulp is not None]
    place, words, ulp = _first(*pairs[0])
    return Difference(
        name=names[0],
        one=words[0],
        other=words[1],
        element=place,
        is_tensor=any(leaf is not None and leaf.shape is not None for leaf in pairs[0][:2]),
        ulp=ulp,
        differing=sum(known) if len(known) == len(counted) else None,
        elements=sum(math.prod(leaf.shape) for leaf in one if leaf.shape is not None),
        max_ulp=max(ulps, default=None),
    )


def _are_alike(a: Leaf | None, b: Leaf | None) -> bool:
    """Whether both are tensors of one dtype and shape, so that elements have partners."""
    return (
        a is not None
        and b is not None
        and a.shape is not None
        and (a.kind, a.shape) == (b.kind, b.shape)
    )


def _count(
    a: Leaf | None, b: Leaf | None, x: Array | None, y: Array | None
) -> tuple[int | None, int | None]:
    """Differing elements and largest distance; tensors that are not alike differ in all of the
    first's elements, and have none.
    """
    if not _are_alike(a, b):
        return (math.prod(a.shape) if a is not None and a.shape is not None else 0), None
    assert a is not None
    if x is None or y is None:
        return None, None
    differing = _unequal(a, x, y)
    return int(np.count_nonzero(differing)), _in_ulps(a.kind, x, y)


def _unequal(leaf: Leaf, x: Array, y: Array) -> Array:
    """Which elements' bits differ, flat; a complex number is one element of two parts."""
    found: Array = np.not_equal(_elements(leaf, bit_pattern(x)), _elements(leaf, bit_pattern(y)))
    return np.asarray(found.any(axis=1))


def _in_ulps(kind: str, x: Array, y: Array) -> int | None:
    """In the tensor's own units; None where it has none, or where no two numbers meet."""
    if kind not in ULPS or bool((np.isnan(x) | np.isnan(y)).all()):
        return None
    return max_ulp(x, y) // ULPS[kind]


def _first(
    a: Leaf | None, b: Leaf | None, x: Array | None, y: Array | None
) -> tuple[tuple[int, ...] | None, tuple[str, str], int | None]:
    """The first differing element's place, both values in words, and their distance."""
    if not _are_alike(a, b):
        return None, (_what(a), _what(b)), None
    assert a is not None
    assert b is not None
    assert a.shape is not None
    if x is None or y is None or not _unequal(a, x, y).any():
        return None, (_digest_of(a), _digest_of(b)), None
    place = int(np.argmax(_unequal(a, x, y)))
    one, other = (_elements(a, values)[place] for values in (x, y))
    index = tuple(int(i) for i in np.unravel_index(place, a.shape))
    return index, _shown(one, other), _in_ulps(a.kind, one, other)


def _elements(leaf: Leaf, values: Array) -> Array:
    """As rows of one number, or of a complex number's two parts."""
    return values.reshape(-1, 2 if "complex" in leaf.kind else 1)


def _what(leaf: Leaf | None) -> str:
    if leaf is None:
        return "missing"
    return leaf.value if leaf.shape is None else f"{leaf.kind} of shape {leaf.shape}"


def _digest_of(leaf: Leaf) -> str:
    return f"{leaf.kind} of shape {leaf.shape} with digest {leaf.value}"


def _shown(one: Array, other: Array) -> tuple[str, str]:
    """Both as NumPy prints them; with their bits where that would be the same."""
    a, b = (_number(values) for values in (one, other))
    return (a, b) if a != b else (f"{a} (bits {_in_hex(one)})", f"{b} (bits {_in_hex(other)})")


def _number(values: Array) -> str:
    if len(values) == 1:
        return str(values[0])
    return f"{values[0]}{values[1]:+}j"


def _in_hex(values: Array) -> str:
    return " ".join(f"0x{int(one):0{2 * values.itemsize}x}" for one in bit_pattern(values))
