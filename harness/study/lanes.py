"""Which runs may go side by side: each has the cores to itself that its threads need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.core.cores import CAN_PIN, usable_cores
from harness.core.spec import Kind, RunSpec

Cores = frozenset[int] | None  # None: all of the machine's


def cores_needed(spec: RunSpec) -> int | None:
    """The number of cores that a run computes on; None if it must be alone on the machine.

    A timed run must be. A script, a DataLoader and a training of several ranks start processes of
    their own, and a run whose threads are not set has as many as there are cores.
    """
    scenario = spec.cell.scenario
    is_small = (
        CAN_PIN
        and spec.kind is Kind.trace
        and spec.cell.device == "cpu"
        and scenario.framework == "torch"
        and not (scenario.uses_loader or scenario.starts_processes)
        and spec.cell.perturbed is None  # by load on other cores, for example
    )
    return spec.determinism.threads if is_small else None


def most_lanes(specs: Iterable[RunSpec]) -> int:
    """How many of such runs fit on this machine side by side, at least 1."""
    needs = [cores_needed(spec) for spec in specs]
    largest = max((need or len(usable_cores()) for need in needs), default=1)
    return max(1, len(usable_cores()) // largest)


def side_by_side(specs: Sequence[RunSpec]) -> Iterator[list[tuple[int, Cores]]]:
    """Yields, in their order, the runs that go together: the index of each, and its cores."""
    group: list[tuple[int, Cores]] = []
    free = usable_cores()
    for index, need in enumerate(map(cores_needed, specs)):
        if group and (need is None or need > len(free)):
            yield group
            group, free = [], usable_cores()
        if need is None or need > len(free):
            yield [(index, None)]
            continue
        group.append((index, frozenset(free[:need])))
        free = free[need:]
    if group:
        yield group
