"""What freshly allocated memory contains."""

from __future__ import annotations

import ctypes

from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, variables

FILLED = 165  # the byte that glibc fills with is its complement, 90
SIZE = 60_000  # bytes: too many for the cache of freed blocks, which are not filled


def _levels(_: Cell) -> list[Level]:
    fill = variables(MALLOC_PERTURB_=str(FILLED))
    return [
        Level(
            kind,
            f"new memory filled ({kind})",
            start=fill,
            switches={"fresh_memory": kind, "fill_uninitialized_memory": False},
        )
        for kind in ("pattern", "nan")
    ]


def _missing(cell: Cell) -> str:
    return "the setting fills it" if cell.determinism.fresh_memory else ""


def _read() -> str:
    """Look into a new block."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    block = libc.malloc(SIZE)
    try:
        found = ctypes.string_at(block, SIZE)
    finally:
        libc.free(block)
    return "filled" if set(found) == {FILLED ^ 0xFF} else "as it was"


MEMORY = Factor("memory", "contents of new memory", Group.surroundings, _levels, _read, _missing)
