"""From the cells asked for to all runs in order: pure, so that the order is tested by itself."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.core.frameworks import FRAMEWORKS, environment_of
from harness.core.role import UNTIMED, Role
from harness.core.spec import Cell, Kind, RunSpec
from harness.core.switches import count_overrides, same_experiment
from harness.study.request import Request, RequestedCell


@dataclass(frozen=True)
class PlannedCell:
    cell: Cell
    role: Role
    baseline: str | None  # id of the cell that its cost is measured against
    same_as: str | None = None  # id of the cell that is the same experiment here, and run instead

    @property
    def has_twin(self) -> bool:
        """Every baseline is timed twice under two names: the A/A twin."""
        return self.baseline == self.cell.id and self.same_as is None


@dataclass(frozen=True)
class Plan:
    cells: tuple[PlannedCell, ...]
    runs: tuple[RunSpec, ...]  # in the order in which they are released


def plan(request: Request, device: str) -> Plan:
    """Every run of the study; ``device`` is what ``auto`` means here."""
    cells = _merge_same_experiments(_plan_cells(request, device))
    return Plan(cells, tuple(_order_runs(request, cells)))


def _plan_cells(request: Request, device: str) -> list[PlannedCell]:
    """Asked cells, then what is missing of baselines and controls; each cell once."""

    def here(cell: Cell) -> Cell:
        return on_device(cell, device)

    def is_for_here(asked: RequestedCell) -> bool:
        kind = here(asked.cell).device.partition(":")[0]
        if asked.needs not in ("any", kind):
            return False
        return kind == "cuda" or asked.cell.setting not in request.settings_for_cuda

    found: dict[str, PlannedCell] = {}
    wanted = [asked for asked in request.asked if is_for_here(asked)]
    for asked in wanted:
        baseline = here(asked.baseline).id if asked.baseline else None
        cell = here(asked.cell)
        if asked.timed:
            found[cell.id] = PlannedCell(cell, Role.asked, baseline)
        else:
            found.setdefault(cell.id, PlannedCell(cell, Role.evidence, None))
    for asked in wanted:
        if asked.baseline:
            cell = here(asked.baseline)
            known = found.get(cell.id)
            if known is None or known.role is Role.evidence:
                found[cell.id] = PlannedCell(cell, Role.baseline, cell.id)
    for control in request.controls:
        cell = here(control)
        found.setdefault(cell.id, PlannedCell(cell, Role.control, None))
    return list(found.values())


def on_device(cell: Cell, device: str) -> Cell:
    """The cell with what ``auto`` means here."""
    return dataclasses.replace(cell, device=device if cell.device == "auto" else cell.device)


def _merge_same_experiments(cells: Sequence[PlannedCell]) -> tuple[PlannedCell, ...]:
    """Marks each cell that is the same experiment as another; of those, a baseline runs for all,
    else the plainest setting. What is not timed comes last.
    """
    kept: list[PlannedCell] = []
    result: dict[str, PlannedCell] = {}

    def rank(one: PlannedCell) -> tuple[bool, bool, int]:
        return (not one.has_twin, one.role in UNTIMED, count_overrides(one.cell.determinism))

    for planned in sorted(cells, key=rank):
        twin = next((one for one in kept if same_experiment(one.cell, planned.cell)), None)
        if twin is None:
            kept.append(planned)
            result[planned.cell.id] = planned
        else:
            result[planned.cell.id] = dataclasses.replace(planned, same_as=twin.cell.id)
    return tuple(result[one.cell.id] for one in cells)


def _order_runs(request: Request, cells: Sequence[PlannedCell]) -> Iterator[RunSpec]:
    """Blocks in turn: one trace run of each cell, then one timing run of each cell and twin.

    Within a block the order is random, drawn from the study's seed: what drifts on the machine
    between the first and the last run of a block then falls on no cell more than on another.
    """
    own = [one for one in cells if one.same_as is None]
    runs = request.runs
    for number in range(1, max(runs.trace, runs.timing) + 1):
        if number <= runs.trace:
            yield from _trace_block(request, own, number)
        if number <= runs.timing:
            yield from _timing_block(request, own, number)


def _trace_block(request: Request, cells: Sequence[PlannedCell], number: int) -> list[RunSpec]:
    return _shuffle(
        [
            RunSpec(
                cell=one.cell,
                kind=Kind.trace,
                number=number,
                repeats=FRAMEWORKS[one.cell.scenario.framework].repeats(request.runs.repeats),
                environment=environment_of(one.cell),
            )
            for one in cells
        ],
        f"{request.study.seed}:trace:{number}",
    )


def _timing_block(request: Request, cells: Sequence[PlannedCell], number: int) -> list[RunSpec]:
    timed = [(one, False) for one in cells if one.role not in UNTIMED]
    twins = [(one, True) for one in cells if one.has_twin]
    return _shuffle(
        [
            RunSpec(
                cell=one.cell,
                kind=Kind.timing,
                number=number,
                twin=twin,
                warmup=request.timing.warmup,
                environment=environment_of(one.cell),
            )
            for one, twin in timed + twins
        ],
        f"{request.study.seed}:timing:{number}",
    )


def _shuffle(runs: list[RunSpec], seed: str) -> list[RunSpec]:
    """A new list in random order; a string seeds Random by its SHA-512, alike everywhere."""
    return random.Random(seed).sample(runs, len(runs))
