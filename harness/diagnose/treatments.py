"""Treatments that may fix a training whose runs diverge, and the fault that each fix proves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from harness.core.spec import Algorithms, Cell, Cudnn, Determinism, Loader


class Fault(StrEnum):
    unseeded = "unseeded randomness"
    hash_order = "hash order"
    data = "order or content of the data"
    outside = "values from outside torch"
    uninitialized_memory = "uninitialized memory"
    first_call = "first call in the process"
    reduction_order = "atomics or reduction order"
    algorithm_choice = "algorithm choice"
    stateful_kernel = "stateful kernel"
    observer = "observer"
    factor = "dependence on a factor that was varied"


@dataclass(frozen=True)
class Treatment:
    """Command-line overrides and the switches they set."""

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
WARM_UP = Treatment(
    Fault.first_call, ("determinism.vector_math_warm_up=true",), {"vector_math_warm_up": True}
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
        Fault.uninitialized_memory,
        (f"determinism.fresh_memory={kind}",),
        {"fresh_memory": kind, "fill_uninitialized_memory": False},
    )
    for kind in ("zeros", "nan", "pattern")
)


def unperturbed(cell: Cell) -> Cell:
    """The cell whose runs those under a factor are compared with.

    Its hash seed is held, since it would be another in each process.
    """
    has_one = cell.determinism.python_hash_seed is not None
    return replace(cell if has_one else HASH_SEED.apply(cell), perturbed=())


def condition_treatments(cell: Cell) -> Iterator[Treatment]:
    """Yield what every reproducible training needs and this cell does not request."""
    requested = cell.determinism
    if requested.seed is None:
        yield SEED
    if cell.scenario.uses_loader and requested.loader != LOADER.switches["loader"]:
        yield LOADER
    if requested.python_hash_seed is None:
        yield HASH_SEED


def first_call_treatments(cell: Cell) -> Iterator[Treatment]:
    """Yield the call whose first use by two threads at once can go wrong (docs/findings)."""
    if cell.device == "cpu" and not cell.determinism.vector_math_warm_up:
        yield WARM_UP


def kernel_treatments(requested: Determinism) -> Iterator[Treatment]:
    """Yield the ways to fix the order of additions that the setting does not request yet."""
    if requested.threads != 1:
        yield ONE_THREAD
    if requested.algorithms is not Algorithms.require:
        yield DETERMINISTIC
