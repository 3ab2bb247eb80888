"""What freshly allocated memory contains, of all that glibc's malloc gives out."""

from __future__ import annotations

import ctypes

from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, variables

# New blocks are filled with the complement: as float32, 1.5e16 and -1.7e38.
LEVELS = {"large": 165, "negative": 1}
SIZE = 60_000  # bytes: too many for the cache of freed blocks, which are not filled


def _levels(_: Cell) -> list[Level]:
    return [
        Level(
            name, f"new memory filled ({name} numbers)", start=variables(MALLOC_PERTURB_=str(byte))
        )
        for name, byte in LEVELS.items()
    ]


def _read() -> str:
    """Look into a new block."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    block = libc.malloc(SIZE)
    try:
        found = set(ctypes.string_at(block, SIZE))
    finally:
        libc.free(block)
    filled = [name for name, byte in LEVELS.items() if found == {byte ^ 0xFF}]
    return " ".join(filled) or "as it was"


MEMORY = Factor("memory", "contents of new memory", Group.surroundings, _levels, _read)
