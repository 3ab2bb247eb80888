"""Where the allocator puts blocks: on the heap, or each in pages of its own."""

from __future__ import annotations

import ctypes

from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, variables

SMALLEST = 4096  # bytes that get pages of their own
MOST = 20_000  # such blocks: a process may have 65,530 maps
SIZE, BLOCKS = 120_000, 16  # bytes, just below the usual threshold; more than fit into free gaps
PAGE, HEADER = 4096, 16  # bytes


def _levels(_: Cell) -> list[Level]:
    tunables = f"glibc.malloc.mmap_threshold={SMALLEST}:glibc.malloc.mmap_max={MOST}"
    start = variables(GLIBC_TUNABLES=tunables)
    return [Level("pages", "each allocation on its own pages", start=start)]


def _read() -> str:
    """Pages of its own begin with 16 bytes for the allocator."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    blocks = [libc.malloc(SIZE) for _ in range(BLOCKS)]
    for block in blocks:
        libc.free(block)
    apart = sum(block % PAGE == HEADER for block in blocks)
    return "pages" if apart > len(blocks) / 2 else "heap"


HEAP = Factor("heap", "memory layout", Group.surroundings, _levels, _read)
