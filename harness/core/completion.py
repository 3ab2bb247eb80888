"""Which planned runs are still to be run: not those with a record, nor those that tell no more.

Timing blocks beyond those that a cell needs (blocks.json) tell no more, nor do the trace runs of a
settled cell. Only cells that obviously vary, or never complete, are settled. A cell whose runs
agree always gets all its runs: the rule touches no bound that a report states.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness.core.agreement import Agreement
from harness.core.blocks import runs_apart
from harness.core.paths import BLOCKS, BUDGET
from harness.core.record import RunRecord
from harness.core.spec import Kind
from harness.core.verdict import process_results


def is_settled(first_runs: Sequence[RunRecord], stage: int) -> bool:
    """Whether all ``stage`` runs of a first stage are there, and half of them differ or none ended.

    Lost runs do not count: `resume` runs them again.
    """
    runs = [run for run in first_runs if run.spec.number <= stage and run.is_done]
    if len(runs) < stage:
        return False
    agreement = Agreement.of(process_results([run for run in runs if run.outcome.completed]))
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


def read_blocks(study: Path) -> dict[str, int]:
    """The timing blocks that each cell needs; empty while that is not decided."""
    path = study / BLOCKS
    blocks: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    return blocks


def was_cut(study: Path) -> bool:
    """Whether its time budget ended the study, so that unfinished runs are no accident."""
    return (study / BUDGET).exists()


def unfinished_runs(
    planned: Iterable[str],
    records: Sequence[RunRecord],
    stage: int | None,
    blocks: Mapping[str, int],
) -> set[str]:
    """Ids of the planned runs that `resume` would run.

    ``stage`` is the number of a cell's first trace runs, ``blocks`` that of the timing blocks that
    it needs.
    """
    most = {
        Kind.trace: dict.fromkeys(settled_cells(records, stage), stage or 0),
        Kind.timing: blocks,
    }
    return {run_id for run_id in set(planned) - done_runs(records) if _is_needed(run_id, most)}


def _is_needed(run_id: str, most: Mapping[Kind, Mapping[str, int]]) -> bool:
    """Whether the number of a run is within that of the last one that its cell needs."""
    cell, kind, number, _ = run_id.rsplit(".", 3)
    last = most[Kind(kind)].get(cell.removesuffix("-twin"))
    return last is None or int(number) <= last


def done_runs(records: Sequence[RunRecord]) -> set[str]:
    """Ids of the runs that `resume` does not run again.

    A lost run is not done. A block whose process died is done once each arm was timed alone.
    """
    whole = {run.run_id for run in records if run.is_done and not run.lacks_arms}
    died = [run for run in records if run.lacks_arms]
    return whole | {
        run.run_id for run in died if all(spec.run_id in whole for spec in runs_apart(run.spec))
    }
