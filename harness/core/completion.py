"""Which planned runs are still to be run: not those with a record, nor those of settled cells.

A cell is settled if its first trace runs say enough, so that no more are spent on it.

Only cells that obviously vary, or never complete, are settled. A cell whose runs agree, and one
that varies rarely, always get all their runs: the rule touches no bound that a report states.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from harness.core.agreement import Agreement
from harness.core.blocks import runs_apart
from harness.core.record import RunRecord
from harness.core.spec import Kind
from harness.core.verdict import process_result


def is_settled(first_runs: Sequence[RunRecord], stage: int) -> bool:
    """Whether all ``stage`` runs of a first stage are there, and half of them differ or none ended.

    Lost runs do not count: `resume` runs them again.
    """
    runs = [run for run in first_runs if run.spec.number <= stage and run.is_done]
    if len(runs) < stage:
        return False
    agreement = Agreement.of([process_result(run) for run in runs if run.outcome.completed])
    return 2 * agreement.differing >= agreement.processes


def settled_cells(records: Iterable[RunRecord], stage: int | None) -> set[str]:
    """Ids of the settled cells among these records; none without a first stage."""
    if stage is None:
        return set()
    traces: dict[str, list[RunRecord]] = defaultdict(list)
    for run in records:
        if run.spec.kind is Kind.trace:
            traces[run.spec.cell.id].append(run)
    return {cell for cell, runs in traces.items() if is_settled(runs, stage)}


def unfinished_runs(
    planned: Iterable[str], records: Sequence[RunRecord], stage: int | None
) -> set[str]:
    """Ids of the planned runs that `resume` would run."""
    settled = settled_cells(records, stage)
    return {
        run_id
        for run_id in set(planned) - done_runs(records)
        if not (stage is not None and _is_later_trace(run_id, settled, stage))
    }


def _is_later_trace(run_id: str, cells: set[str], stage: int) -> bool:
    """Whether an id is that of a trace run of these cells, after the first stage."""
    cell, kind, number, _ = run_id.rsplit(".", 3)
    return cell in cells and kind == Kind.trace and int(number) > stage


def done_runs(records: Iterable[RunRecord]) -> set[str]:
    """Ids of the runs that `resume` does not run again.

    A lost run is not done, nor is a block that an arm has ended until each arm was timed alone.
    """
    ended = {run.run_id: run for run in records if run.is_done}
    return {
        name
        for name, run in ended.items()
        if not run.lacks_arms or all(spec.run_id in ended for spec in runs_apart(run.spec))
    }
