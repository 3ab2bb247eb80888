"""The digest itself, free of any framework: 128 bits of XXH3 over exact bytes, with their headers.

It tells apart what equality and norms do not (+0 and -0, NaN payloads) and what sums and XORs do
not: a permutation, a swapped pair, ``ones(4)`` and ``zeros(4)``, which ``torch.hash_tensor`` gives
one value. XXH3 reads at the speed of memory; it is no defence against an adversary, and none is
needed here.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

CHUNK = 16 * 2**20  # bytes
THREADS = 4  # more than a few only wait for the memory


@dataclass(frozen=True)
class Part:
    """A dense array: ``dtype`` as torch spells it (``torch.float32``), contiguous bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: memoryview


def hash_parts(parts: Iterable[Part], plain: Mapping[str, Any] | None = None) -> str:
    """32 hexadecimal digits of the parts, in the order given, and of plain JSON values."""
    state = xxhash.xxh3_128()
    for part in parts:
        elements = math.prod(part.shape)
        # a header that no other part has
        state.update(f"{part.name}\0{part.dtype}\0{part.shape}\0{elements}\0".encode())
        state.update(_content_hash(part.data))
    if plain:
        state.update(json.dumps(plain, sort_keys=True).encode())
    return state.hexdigest()


def _content_hash(data: memoryview) -> bytes:
    """16 bytes; those of data above CHUNK are made of its chunks' own, hashed side by side.

    The chunks are part of the definition, the number of threads is not.
    """
    if len(data) <= CHUNK:
        return xxhash.xxh3_128_digest(data)
    chunks = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
    return xxhash.xxh3_128_digest(b"".join(_thread_pool().map(xxhash.xxh3_128_digest, chunks)))


@cache
def _thread_pool() -> ThreadPoolExecutor:
    """Made at the first large tensor; xxhash lets go of the interpreter lock."""
    return ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1), "digest")


def array_part(name: str, array: npt.NDArray[Any]) -> Part:
    """Its digest is that of the torch tensor of the same bytes, dtype, shape and name.

    Raises TypeError, naming the array, where its elements are not numbers (bfloat16 and its like,
    which NumPy knows by ml_dtypes, are).
    """
    if array.dtype.kind in "OSUMm" or array.dtype.names:
        raise TypeError(
            f"no digest for array '{name}' of dtype {array.dtype}: only numbers have defined bytes"
        )
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    data = np.ascontiguousarray(native).reshape(-1).view(np.uint8).data
    return Part(name, f"torch.{array.dtype.name}", array.shape, data)
