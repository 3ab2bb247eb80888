"""What might cure a training that varies, and which kind of fault a cure proves: data, in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from harness.core.spec import Algorithms, Cell, Cudnn, Determinism, Loader


class Fault(StrEnum):
    unseeded = "unseeded randomness"
    hash_order = "hash order"
    data_order = "data order"
    fresh_memory = "uninitialised memory"
    reduction_order = "atomics or reduction order"
    algorithm_choice = "algorithm choice"
    stateful_kernel = "stateful kernel"
    observer = "observer"


@dataclass(frozen=True)
class Treatment:
    """Words that a user could type, and the switches that they set."""

    fault: Fault
    words: tuple[str, ...]
    switches: dict[str, object]

    def apply(self, cell: Cell) -> Cell:
        names = tuple(f"{word.partition('=')[0]}=" for word in self.words)
        kept = {word for word in cell.overrides if not word.startswith(names)}
        return replace(
            cell,
            determinism=replace(cell.determinism, **self.switches),  # type: ignore[arg-type]
            overrides=tuple(sorted({*kept, *self.words})),
        )


SEED = Treatment(Fault.unseeded, ("determinism.seed=0",), {"seed": 0})
LOADER = Treatment(
    Fault.unseeded,
    ("determinism.loader.generator=true", "determinism.loader.worker_init=true"),
    {"loader": Loader(generator=True, worker_init=True)},
)
HASH_SEED = Treatment(
    Fault.hash_order, ("determinism.python_hash_seed=0",), {"python_hash_seed": 0}
)
ONE_THREAD = Treatment(Fault.reduction_order, ("determinism.threads=1",), {"threads": 1})
DETERMINISTIC = Treatment(
    Fault.reduction_order,
    (
        "determinism.algorithms=require",
        "determinism.cublas_workspace=:4096:8",
        "determinism.cudnn.deterministic=true",
        "determinism.cudnn.benchmark=false",
    ),
    {
        "algorithms": Algorithms.require,
        "cublas_workspace": ":4096:8",
        "cudnn": Cudnn(deterministic=True, benchmark=False),
    },
)
FILLINGS = tuple(
    Treatment(
        Fault.fresh_memory,
        (f"determinism.fresh_memory={kind}",),
        {"fresh_memory": kind, "fill_uninitialized_memory": False},
    )
    for kind in ("zeros", "nan", "pattern")
)


def condition_treatments(cell: Cell) -> Iterator[Treatment]:
    """What any reproducible training needs, and this one was not asked to have."""
    asked = cell.determinism
    if asked.seed is None:
        yield SEED
    if cell.scenario.uses_loader and asked.loader != LOADER.switches["loader"]:
        yield LOADER
    if asked.python_hash_seed is None:
        yield HASH_SEED


def kernel_treatments(asked: Determinism) -> Iterator[Treatment]:
    """Two ways to hold the order of additions; each is tried, for each is advice."""
    if asked.threads != 1:
        yield ONE_THREAD
    if asked.algorithms is not Algorithms.require:
        yield DETERMINISTIC
