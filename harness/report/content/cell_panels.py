"""What a reader finds behind a cell of the map: its evidence, run by run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from harness.analysis.cost import step_s
from harness.analysis.study_data import CellData, StudyData, is_timed
from harness.core.record import RunRecord
from harness.core.verdict import process_results
from harness.report.content.matrix_rows import MatrixRow
from harness.report.format import figure, percent, plural

LOG_LINES = 20  # of the first failed run
MOST_GROUPS = 8  # of equal runs; more have no rows of their own
DIGITS = 8  # of a digest


@dataclass(frozen=True)
class DigestGroup:
    """Runs with the same bits."""

    size: int
    runs: str  # their numbers, as "1–4, 7"
    params: str  # start of the digest of the final parameters, or empty
    loss: str  # at the last step


@dataclass(frozen=True)
class CellPanel:
    cell: str
    title: str
    verdict: str
    values: list[tuple[str, str]]  # column and value of the results table
    bound: str
    groups: list[DigestGroup]  # the largest first
    more: str  # how many groups are left out, or empty
    times: str  # milliseconds per step by block, or empty
    twin_times: str
    failure: str  # the first failed run, or empty
    log: str  # the end of its traceback or log, or empty


def build_panels(
    study: StudyData, table: pd.DataFrame, rows: Sequence[MatrixRow]
) -> list[CellPanel]:
    """Build a panel for each row of the merged cell table."""
    return [
        _build_panel(study.by_id(record["cell"]), record["divergence_rate_upper"], row)
        for record, row in zip(table.to_dict("records"), rows, strict=True)
    ]


def _build_panel(cell: CellData, bound: float | None, row: MatrixRow) -> CellPanel:
    groups, values = digest_groups(cell), row.named()
    failed = next((run for run in cell.all_runs if run.outcome.failed), None)
    return CellPanel(
        cell=cell.id,
        title=f"{values['scenario']}, {values['determinism']}",
        verdict=values["verdict"],
        values=list(values.items())[2:],
        bound=percent(bound),
        groups=groups[:MOST_GROUPS],
        more=f"{len(groups) - MOST_GROUPS} more" if len(groups) > MOST_GROUPS else "",
        times=_times(cell.timings),
        twin_times=_times(cell.twins),
        failure=f"{failed.outcome}: {failed.reason}" if failed else "",
        log="\n".join(failed.message.splitlines()[-LOG_LINES:]) if failed else "",
    )


def digest_groups(cell: CellData) -> list[DigestGroup]:
    """Group the completed trace runs by the bits of all their trainings."""
    groups: dict[object, list[RunRecord]] = {}
    for run, result in zip(cell.completed, process_results(cell.completed), strict=True):
        groups.setdefault(result, []).append(run)
    return [_describe_group(runs) for runs in sorted(groups.values(), key=len, reverse=True)]


def _describe_group(runs: Sequence[RunRecord]) -> DigestGroup:
    first = runs[0].repeats[0]
    return DigestGroup(
        size=len(runs),
        runs=_ranges(run.spec.number for run in runs),
        params=first.final.get("params", "")[:DIGITS],
        loss=figure(float(first.losses[-1]), 6) if first.losses else "",
    )


def _ranges(numbers: Iterable[int]) -> str:
    """Numbers in short, as "1–4, 7"."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{low}–{high}" if low < high else f"{low}" for low, high in spans)


def _times(runs: Sequence[RunRecord]) -> str:
    timed = [run for run in runs if is_timed(run)]
    if not timed:
        return ""
    values = " · ".join(figure(1000 * step_s(run)) for run in timed)
    return f"{plural(len(timed), 'block')}: {values}"
