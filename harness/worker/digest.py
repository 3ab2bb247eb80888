"""The digest: 128 bits of XXH3 over exact bytes, with name, dtype and shape.

It tells apart what equality and norms do not (+0 and -0, NaN payloads) and what sums and XORs do
not: a permutation, a swapped pair, ``ones(4)`` and ``zeros(4)``, which ``torch.hash_tensor`` gives
one value. It is equal for equal tensors whatever their strides, storage offset or file. XXH3 reads
at the speed of memory; it is no defence against an adversary, and none is needed here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch
import xxhash
from torch import Tensor

CHUNK = 16 * 2**20  # bytes
THREADS = 4  # more than a few only wait for the memory

Named = Iterable[tuple[str, Tensor]]


def digest(named: Named, plain: Mapping[str, Any] | None = None) -> str:
    """32 hexadecimal digits of the tensors, in the order given, and of plain JSON values.

    Raises TypeError, naming the tensor, where a layout has no defined bytes.
    """
    state = xxhash.xxh3_128()
    for name, tensor in named:
        update(state, name, tensor)
    if plain:
        state.update(json.dumps(plain, sort_keys=True).encode())
    return state.hexdigest()


def update(state: xxhash.xxh3_128, name: str, tensor: Tensor) -> None:
    """Feeds a header that no other tensor has, then the digest of the bytes."""
    parts = parts_of(name, tensor)
    for part_name, part in parts:
        header = f"{part_name}\0{part.dtype}\0{tuple(part.shape)}\0{part.numel()}\0"
        state.update(header.encode())
        state.update(content(raw(part)))


def parts_of(name: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
    """A dense tensor is one part; a sparse one is its indices and values, as they are stored."""
    if tensor.layout == torch.strided and not tensor.is_quantized:
        return [(name, tensor)]
    if tensor.layout == torch.sparse_coo:
        indices, values = tensor._indices(), tensor._values()
        return [(f"{name}:coo{tuple(tensor.shape)}", indices), (f"{name}:values", values)]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [
            (f"{name}:crow{tuple(tensor.shape)}", tensor.crow_indices()),
            (f"{name}:col", tensor.col_indices()),
            (f"{name}:values", tensor.values()),
        ]
    raise TypeError(
        f"no digest for tensor '{name}' of layout {tensor.layout}"
        f"{' (quantized)' if tensor.is_quantized else ''}: dense, COO, CSR and BSR have one; "
        "digest a dense copy instead"
    )


def content(data: memoryview) -> bytes:
    """16 bytes; those of data above CHUNK are made of its chunks' own, hashed side by side.

    The chunks are part of the definition, the number of threads is not.
    """
    if len(data) <= CHUNK:
        return xxhash.xxh3_128_digest(data)
    chunks = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
    return xxhash.xxh3_128_digest(b"".join(pool().map(xxhash.xxh3_128_digest, chunks)))


@cache
def pool() -> ThreadPoolExecutor:
    """Made at the first large tensor; xxhash lets go of the interpreter lock."""
    return ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1), "digest")


def raw(tensor: Tensor) -> memoryview:
    """The tensor's elements as contiguous bytes in host memory, without a copy where possible."""
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    return plain.reshape(-1).view(torch.uint8).numpy().data
