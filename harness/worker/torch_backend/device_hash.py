"""A 128-bit hash of tensors in a device's memory, computed there: only sums leave the device.

Multilinear hashing: a block of 32-bit words w has, for each of two rows of fixed random keys k, the
sum of k·w modulo 2**64. Integers give the same sum in any order, so a parallel reduction is exact.
Two different blocks agree in one sum for at most one in 2**33 choices of its keys, because the
difference of two words has at most 31 trailing zero bits, and in both for one in 2**66 (Carter and
Wegman, Universal classes of hash functions, 1979).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

BLOCK = 2**20  # words: 4 MiB, which a device's cache holds together with the keys
SEED = 20261126  # of the keys; part of the hash's definition, as BLOCK is


def word_sums(tensors: Sequence[Tensor]) -> Tensor:
    """Return the sums of all blocks, int64 of shape [blocks, 2], in host memory.

    The tensors are dense, have no lazy conjugation or negation, and share one device. Their words,
    one tensor after the other, are cut into blocks. Where the device's memory is full, the host
    computes the same sums.
    """
    device = tensors[0].device
    try:
        with _separate_memory(device):
            return torch.cat(_sum_blocks(tensors, device)).cpu()
    except torch.OutOfMemoryError:
        return word_sums([tensor.cpu() for tensor in tensors])


def _sum_blocks(tensors: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    keys = _keys(device)
    sums = [keys[:, :0].T]  # of no block, if there is no word
    for pieces in _blocks(map(_words, tensors)):
        words = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
        sums.append((words * keys[:, : len(words)]).sum(1, keepdim=True).T)
    return sums


def _blocks(streams: Iterator[Tensor]) -> Iterator[list[Tensor]]:
    """Yield the pieces of each block in turn; only the last block may be shorter than BLOCK."""
    pieces: list[Tensor] = []
    room = BLOCK
    for words in streams:
        for start, stop in _cuts(len(words), room):
            pieces.append(words[start:stop])
            room -= stop - start
            if not room:
                yield pieces
                pieces, room = [], BLOCK
    if pieces:
        yield pieces


def _cuts(length: int, first: int) -> Iterator[tuple[int, int]]:
    """Yield the borders of a stream's pieces: ``first`` words at most, then BLOCK words each."""
    start, stop = 0, first
    while start < length:
        yield start, min(stop, length)
        start, stop = stop, stop + BLOCK


def _words(tensor: Tensor) -> Tensor:
    """Return the elements as int32; zero bytes fill up the last word. Copy only if necessary."""
    flat = tensor.contiguous().reshape(-1).view(torch.uint8)
    if len(flat) % 4:
        return torch.cat([flat, flat.new_zeros(-len(flat) % 4)]).view(torch.int32)
    if flat.storage_offset() % 4 or flat.data_ptr() % 4:
        flat = flat.clone()
    return flat.view(torch.int32)


@cache
def _keys(device: torch.device) -> Tensor:
    """Return two rows of BLOCK keys; NumPy keeps the raw output of PCG64 across its versions."""
    raw = np.random.PCG64(SEED).random_raw(2 * BLOCK)
    return torch.from_numpy(raw.view(np.int64).reshape(2, BLOCK)).to(device)


def _separate_memory(device: torch.device) -> AbstractContextManager[Any]:
    """Allocate apart from the program, which gets the addresses that it would get unobserved."""
    if device.type != "cuda" or torch.cuda.get_allocator_backend() != "native":
        return nullcontext()
    return torch.cuda.use_mem_pool(_pool(device), device)


@cache
def _pool(device: torch.device) -> torch.cuda.MemPool:  # noqa: ARG001
    return torch.cuda.MemPool()
