"""Turns a request into all runs of a study, in order: pure functions, tested without workers."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from harness.core.blocks import group_for_timing, shared_environment
from harness.core.frameworks import FRAMEWORKS, environment_of
from harness.core.role import UNTIMED, Role
from harness.core.spec import Arm, Cell, Isolation, Kind, RunSpec
from harness.core.switches import same_experiment
from harness.study.request import Request, RequestedCell

T = TypeVar("T")

EARLY_BLOCKS = 3  # timing blocks before the last trace runs, if the study has a budget


@dataclass(frozen=True)
class PlannedCell:
    cell: Cell
    role: Role
    baseline: str | None  # id of the cell that its cost is compared with
    same_as: str | None = None  # id of the cell that runs instead: the same experiment here

    @property
    def has_twin(self) -> bool:
        """Whether an identical copy, the A/A twin, is timed too: true for baselines that run."""
        return self.baseline == self.cell.id and self.same_as is None


@dataclass(frozen=True)
class Plan:
    cells: tuple[PlannedCell, ...]
    runs: tuple[RunSpec, ...]  # in the order in which they are released


def plan(request: Request, device: str) -> Plan:
    """All runs of the study. ``device`` is the device that ``auto`` stands for."""
    cells = _merge_same_experiments(_plan_cells(request, device))
    return Plan(cells, tuple(_order_runs(request, cells)))


def _plan_cells(request: Request, device: str) -> list[PlannedCell]:
    """Requested cells, then the baselines and controls that are missing; each cell once."""

    def resolve(cell: Cell) -> Cell:
        return on_device(cell, device)

    def is_applicable(requested: RequestedCell) -> bool:
        kind = resolve(requested.cell).device.partition(":")[0]
        if requested.needs not in ("any", kind):
            return False
        return kind == "cuda" or requested.cell.setting not in request.settings_for_cuda

    planned: dict[str, PlannedCell] = {}
    applicable = [requested for requested in request.asked if is_applicable(requested)]
    for requested in applicable:
        baseline = resolve(requested.baseline).id if requested.baseline else None
        cell = resolve(requested.cell)
        if requested.timed:
            planned[cell.id] = PlannedCell(cell, Role.asked, baseline)
        else:
            planned.setdefault(cell.id, PlannedCell(cell, Role.evidence, None))
    for requested in applicable:
        if requested.baseline:
            cell = resolve(requested.baseline)
            known = planned.get(cell.id)
            if known is None or known.role is Role.evidence:
                planned[cell.id] = PlannedCell(cell, Role.baseline, cell.id)
    for control in request.controls:
        cell = resolve(control)
        planned.setdefault(cell.id, PlannedCell(cell, Role.control, None))
    return list(planned.values())


def on_device(cell: Cell, device: str) -> Cell:
    """The cell with ``device`` in place of ``auto``."""
    return dataclasses.replace(cell, device=device if cell.device == "auto" else cell.device)


def _merge_same_experiments(cells: Sequence[PlannedCell]) -> tuple[PlannedCell, ...]:
    """Sets ``same_as`` on every cell that is the same experiment as another cell.

    A baseline runs in place of the others, else a timed cell, else the one with fewest overrides.
    """
    kept: list[PlannedCell] = []
    result: dict[str, PlannedCell] = {}

    def rank(cell: PlannedCell) -> tuple[bool, bool, int]:
        return (not cell.has_twin, cell.role in UNTIMED, len(cell.cell.determinism.turned()))

    for planned in sorted(cells, key=rank):
        same = next((cell for cell in kept if same_experiment(cell.cell, planned.cell)), None)
        if same is None:
            kept.append(planned)
            result[planned.cell.id] = planned
        else:
            result[planned.cell.id] = dataclasses.replace(planned, same_as=same.cell.id)
    return tuple(result[planned.cell.id] for planned in cells)


def _order_runs(request: Request, cells: Sequence[PlannedCell]) -> Iterator[RunSpec]:
    """Yields alternating blocks: a trace run of each cell, then a timing run of each cell and twin.

    The order within a block is random, seeded by ``study.seed``, so that drift of the machine
    during the block affects all cells alike. Cells with a common baseline are timed next to each
    other, in one process where it can switch between their settings, or pairing them would remove
    nothing of that drift. If a budget may end the study, most timing blocks come last: evidence
    about bits matters more than narrow intervals of costs.
    """
    distinct = [planned for planned in cells if planned.same_as is None]
    runs = request.runs
    early = runs.timing if request.study.budget_s is None else min(EARLY_BLOCKS, runs.timing)
    for number in range(1, max(runs.trace, early) + 1):
        if number <= runs.trace:
            yield from _trace_block(request, distinct, number)
        if number <= early:
            yield from _timing_block(request, distinct, number)
    for number in range(early + 1, runs.timing + 1):
        yield from _timing_block(request, distinct, number)


def _trace_block(request: Request, cells: Sequence[PlannedCell], number: int) -> list[RunSpec]:
    return _shuffle(
        [
            RunSpec(
                cell=planned.cell,
                kind=Kind.trace,
                number=number,
                repeats=FRAMEWORKS[planned.cell.scenario.framework].repeats(
                    request.runs.trainings(number)
                ),
                environment=environment_of(planned.cell),
                forked=request.launch.is_forked(planned.cell, Kind.trace, number),
            )
            for planned in cells
        ],
        f"{request.study.seed}:trace:{number}",
    )


def _timing_block(request: Request, cells: Sequence[PlannedCell], number: int) -> list[RunSpec]:
    timed = [(planned, Arm(planned.cell)) for planned in cells if planned.role not in UNTIMED]
    twins = [(planned, Arm(planned.cell, twin=True)) for planned in cells if planned.has_twin]
    compared: dict[str, list[Arm]] = {}
    for planned, arm in timed + twins:
        compared.setdefault(planned.baseline or planned.cell.id, []).append(arm)
    seed = f"{request.study.seed}:timing:{number}"
    blocks = []
    for baseline, arms in compared.items():
        shuffled = _shuffle(arms, f"{seed}:{baseline}")
        blocks.append(
            [_timing_run(request, group, number) for group in _processes(request, shuffled)]
        )
    return [spec for block in _shuffle(blocks, seed) for spec in block]


def _processes(request: Request, arms: list[Arm]) -> list[list[Arm]]:
    """The arms that share each process of a block."""
    if request.launch.isolation is Isolation.spawn:
        return [[arm] for arm in arms]
    return group_for_timing(arms, lambda arm: arm.cell)


def _timing_run(request: Request, arms: Sequence[Arm], number: int) -> RunSpec:
    """The run that times these arms in turn, or the only arm alone; named after the first."""
    cell = arms[0].cell
    environment = shared_environment([arm.cell for arm in arms])
    assert environment is not None
    return RunSpec(
        cell=cell,
        kind=Kind.timing,
        number=number,
        twin=arms[0].twin if len(arms) == 1 else False,
        warmup=request.timing.warmup,
        min_s=_seconds_to_count(request, cell),
        environment=environment,
        forked=request.launch.is_forked(cell, Kind.timing, number, len(arms)),
        arms=tuple(arms) if len(arms) > 1 else (),
    )


def _seconds_to_count(request: Request, cell: Cell) -> float:
    """A process of another framework trains only once, so its run counts what there is."""
    framework = FRAMEWORKS[cell.scenario.framework]
    return 0.0 if framework.one_training_per_process else request.timing.min_s


def _shuffle(items: list[T], seed: str) -> list[T]:
    """A shuffled copy. Random seeds itself with a string's SHA-512, so the order is portable."""
    return random.Random(seed).sample(items, len(items))
