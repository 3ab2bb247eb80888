"""The cell table: one row a cell, one more for each baseline's twin."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis import cost
from harness.analysis.spread import divergence_rate_upper, spread
from harness.analysis.study_data import CellData, StudyData, is_timed
from harness.core.record import Outcome, RunRecord
from harness.core.spec import Noise
from harness.core.verdict import Judgement, judge, outcome_key

FAILED = (Outcome.crashed, Outcome.timeout, Outcome.lost)


def cell_table(study: StudyData) -> pd.DataFrame:
    """The columns of DESIGN's cell table, in its order; units are in the names."""
    rows = []
    for cell in study.cells:
        rows.append(row(study, cell))
        if cell.twins and cell.same_as is None:
            rows.append(twin_row(cell))
    return pd.DataFrame(rows)


def row(study: StudyData, cell: CellData) -> dict[str, Any]:
    judgement = judge(cell.traces, [*cell.timings, *cell.twins])
    ratio, twin = ratio_of(study, cell), twin_of(study, cell)
    return {
        **identity(cell, twin=False),
        **what_is_seen(cell, judgement),
        **vars(spread(cell)),
        **what_it_costs(cell.timings, ratio, twin),
        **counts([*cell.traces, *cell.timings]),
        "note": judgement.note,
    }


def twin_row(cell: CellData) -> dict[str, Any]:
    """The A/A copy is only timed, so nothing is tested of it but its cost, which must be 1."""
    untraced = dataclasses.replace(cell, traces=[])
    ratio = cost.paired_ratio(cost.by_block(cell.twins), cost.by_block(cell.timings))
    return {
        **identity(cell, twin=True),
        **what_is_seen(untraced, judge(untraced.traces)),
        **what_it_costs(cell.twins, ratio, None),
        **counts(cell.twins),
        "note": "",
    }


def identity(cell: CellData, twin: bool) -> dict[str, Any]:
    return {
        "cell": cell.id,
        "overrides": shlex.join(cell.cell.overrides),
        "baseline": cell.baseline or "",
        "scenario": cell.cell.scenario.label,
        "determinism": cell.cell.setting,
        "noise": "" if cell.cell.noise is Noise.none else str(cell.cell.noise),
        "device": cell.cell.device,
        "twin": twin,
        "role": cell.role,
        "same_as": cell.same_as or "",
    }


def what_is_seen(cell: CellData, judgement: Judgement) -> dict[str, Any]:
    runs = cell.completed
    differing = sum(
        outcome_key(run.repeats[0]) != outcome_key(runs[0].repeats[0]) for run in runs[1:]
    )
    parting = judgement.first_divergence
    return {
        "trace_runs": judgement.completed,
        "repeats": max((len(run.repeats) for run in runs), default=0),
        "distinct": judgement.distinct,
        "verdict": str(judgement.verdict),
        "divergence_rate_upper": divergence_rate_upper(differing, max(0, len(runs) - 1)),
        "first_step": parting.step if parting else None,
        "first_component": parting.component if parting else "",
    }


def what_it_costs(
    runs: Sequence[RunRecord], ratio: cost.Ratio | None, twin: cost.Ratio | None
) -> dict[str, Any]:
    timed = [run for run in runs if is_timed(run)]
    return {
        "timing_runs": len(timed),
        "step_ms": median([1000 * median_step_s(run) for run in timed]),
        "cost_ratio": ratio.point if ratio else None,
        "cost_low": ratio.low if ratio else None,
        "cost_high": ratio.high if ratio else None,
        "cost": cost.in_words(ratio, twin),
        "peak_mb": median([run.peak_mb for run in timed]),
        "setup_s": median([run.setup_s for run in timed]),
    }


def counts(runs: Sequence[RunRecord]) -> dict[str, int]:
    outcomes = [run.outcome for run in runs]
    return {
        "runs_ok": outcomes.count(Outcome.ok),
        "runs_refused": outcomes.count(Outcome.refused),
        "runs_failed": sum(outcome in FAILED for outcome in outcomes),
        "runs_nan": outcomes.count(Outcome.nan),
        "runs_contended": outcomes.count(Outcome.contended),
    }


def ratio_of(study: StudyData, cell: CellData) -> cost.Ratio | None:
    """A cell's cost against its baseline; the baseline itself costs nothing, by definition."""
    if cell.baseline is None or is_baseline(study, cell):
        return None
    baseline = measured_baseline(study, cell)
    return cost.paired_ratio(cost.by_block(cell.timings), cost.by_block(baseline.timings))


def is_baseline(study: StudyData, cell: CellData) -> bool:
    """Whether a cell is the same experiment as the one that its cost is measured against."""
    if cell.baseline is None:
        return False
    return (cell.same_as or cell.id) == measured_baseline(study, cell).id


def twin_of(study: StudyData, cell: CellData) -> cost.Ratio | None:
    if cell.baseline is None:
        return None
    baseline = measured_baseline(study, cell)
    return cost.paired_ratio(cost.by_block(baseline.twins), cost.by_block(baseline.timings))


def measured_baseline(study: StudyData, cell: CellData) -> CellData:
    found = study.by_id(cell.baseline or cell.id)
    return study.by_id(found.same_as) if found.same_as else found


def median_step_s(run: RunRecord) -> float:
    assert run.timed is not None
    return float(np.median(run.timed.step_s[run.spec.warmup :]))


def median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
