"""Blocks of timing runs: which cells one process times in turn, and what is left of a block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from harness.core.frameworks import FRAMEWORKS, environment_of
from harness.core.record import RunRecord
from harness.core.spec import Cell, Kind, RunSpec

T = TypeVar("T")

NO_COST = ("PYTHONHASHSEED",)  # variables that change no step's time
NO_COST_ON_CPU = ("CUBLAS_WORKSPACE_CONFIG",)


def group_for_timing(items: Iterable[T], cell_of: Callable[[T], Cell]) -> list[list[T]]:
    """Groups, in the order of their first items, each of which one process can time."""
    groups: list[list[T]] = []
    for item in items:
        cell = cell_of(item)
        for group in groups:
            if shared_environment([*map(cell_of, group), cell]) is not None:
                group.append(item)
                break
        else:
            groups.append([item])
    return groups


def runs_apart(block: RunSpec) -> list[RunSpec]:
    """The run of each arm in a process and environment of its own."""
    return [replace(spec, environment=environment_of(spec.cell)) for spec in block.of_arms()]


def split_blocks(records: Sequence[RunRecord]) -> list[RunRecord]:
    """The records with those of each block's arms in its place, unless they were timed alone."""

    def identify(run: RunRecord) -> tuple[Kind, str, bool, int]:
        return run.spec.kind, run.spec.cell.id, run.spec.twin, run.spec.number

    arms = [arm for run in records if run.arms for arm in run.of_arms()]
    known = {identify(run) for run in arms}  # its block succeeded, if only in a second attempt
    alone = [run for run in records if not run.spec.arms and identify(run) not in known]
    known |= {identify(run) for run in alone}
    died = [arm for run in records if run.lacks_arms for arm in run.of_arms()]
    return [*alone, *arms, *(arm for arm in died if identify(arm) not in known)]


def shared_environment(cells: Sequence[Cell]) -> dict[str, str] | None:
    """The variables of a process that times all these cells; None if there can be none.

    A variable without cost is set as soon as one cell requires it. Numbers of threads must agree:
    torch.set_num_threads also changes how MKL chooses among its own. So must cuDNN's benchmarking
    on CUDA: a plan that it has chosen is used again without it, and the other way round.
    """
    if len(cells) == 1:
        return environment_of(cells[0])
    if not all(FRAMEWORKS[cell.scenario.framework].times_blocks for cell in cells):
        return None
    if len({cell.device for cell in cells}) > 1:
        return None
    is_cuda = cells[0].device.startswith("cuda")
    if is_cuda and len({bool(cell.determinism.cudnn.benchmark) for cell in cells}) > 1:
        return None
    free = NO_COST if is_cuda else (*NO_COST, *NO_COST_ON_CPU)
    environments = [environment_of(cell) for cell in cells]
    shared: dict[str, str] = {}
    for name in sorted({name for environment in environments for name in environment}):
        values = {environment.get(name) for environment in environments}
        required = values - {None}
        if len(required) == 1 and (len(values) == 1 or name in free):
            shared[name] = str(required.pop())
        else:
            return None
    return shared
