"""The seed of Python's string hashes, which orders sets. Unperturbed runs have the seed 0."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, Start

LARGEST = 2**32 - 1  # that Python accepts


@contextmanager
def _random() -> Iterator[Start]:
    """Each run has a seed of its own: two words of a set keep their order under half of all."""
    yield Start(variables={"PYTHONHASHSEED": str(1 + secrets.randbelow(LARGEST))})


def _levels(_: Cell) -> list[Level]:
    return [Level("random", "random hash seeds", start=_random)]


def _read() -> str:
    return str(hash("harness"))


HASH_SEED = Factor("hash_seed", "hash seed", Group.surroundings, _levels, _read)
