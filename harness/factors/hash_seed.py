"""The seed of Python's string hashes, which orders sets. Unperturbed runs have the seed 0."""

from __future__ import annotations

from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level


def _levels(_: Cell) -> list[Level]:
    return [
        Level(str(seed), f"hash seed {seed}", switches={"python_hash_seed": seed})
        for seed in (1, 2)
    ]


def _read() -> str:
    return str(hash("harness"))


HASH_SEED = Factor("hash_seed", "hash seed", Group.surroundings, _levels, _read)
