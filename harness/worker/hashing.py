"""Framework-independent digests: 128 bits of XXH3 over exact bytes and their headers.

A digest detects what equality and norms miss (+0 and -0, NaN payloads) and what sums and XORs miss:
a permutation, a swapped pair, or ``ones(4)`` and ``zeros(4)``, for which ``torch.hash_tensor``
returns the same value. XXH3 runs at memory speed. It does not resist an adversary and need not.
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
THREADS = 4  # more threads only wait for memory


@dataclass(frozen=True)
class Part:
    """A named dense array: ``dtype`` in torch's spelling (``torch.float32``), contiguous bytes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    data: memoryview


def hash_parts(parts: Iterable[Part], values: Mapping[str, Any] | None = None) -> str:
    """Return 32 hexadecimal digits for the parts, in the order given, and for the JSON values."""
    state = xxhash.xxh3_128()
    for part in parts:
        elements = math.prod(part.shape)
        # unique to this name, dtype and shape
        state.update(f"{part.name}\0{part.dtype}\0{part.shape}\0{elements}\0".encode())
        state.update(_content_hash(part.data))
    if values:
        state.update(json.dumps(values, sort_keys=True).encode())
    return state.hexdigest()


def _content_hash(data: memoryview) -> bytes:
    """Return 16 bytes; above CHUNK bytes, hash the hashes of the chunks, computed in parallel.

    The chunk size is part of the digest's definition; the number of threads is not.
    """
    if len(data) <= CHUNK:
        return xxhash.xxh3_128_digest(data)
    chunks = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
    return xxhash.xxh3_128_digest(b"".join(_thread_pool().map(xxhash.xxh3_128_digest, chunks)))


@cache
def _thread_pool() -> ThreadPoolExecutor:
    """Start the pool at the first large tensor; xxhash releases the GIL."""
    return ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1), "digest")


def forget_pool() -> None:
    """Start a new pool when one is needed: the threads of the last one have been ended."""
    _thread_pool.cache_clear()


def array_part(name: str, array: npt.NDArray[Any]) -> Part:
    """Return an array of any shape as a part with the digest of the equivalent torch tensor.

    Raises TypeError, naming the array, if its elements are not numbers; bfloat16 and the other
    types that ml_dtypes adds to NumPy are numbers.
    """
    if array.dtype.kind in "OSUMm" or array.dtype.names:
        raise TypeError(
            f"cannot digest array '{name}' of dtype {array.dtype}: only numbers have defined "
            "bytes; convert it to a numeric dtype"
        )
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    data = np.ascontiguousarray(native).reshape(-1).view(np.uint8).data
    return Part(name, f"torch.{array.dtype.name}", array.shape, data)
