"""The cell table: one row for each cell and for each baseline's twin."""

from __future__ import annotations

import dataclasses
import shlex
from collections import defaultdict
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import pandas as pd

from harness.analysis import cost
from harness.analysis.spread import measure_spread
from harness.analysis.study_data import CellData, StudyData, is_timed
from harness.core.binomial import divergence_rate_upper
from harness.core.record import Outcome, RunRecord
from harness.core.spec import Cell, Noise
from harness.core.verdict import Judgement, wording


def cell_table(study: StudyData) -> pd.DataFrame:
    """Return the rows of tables/cells.csv; column names carry their units."""
    rows = []
    for cell in study.cells:
        rows.append(cell_row(study, cell))
        if cell.twins and cell.same_as is None:
            rows.append(_twin_row(cell))
    return pd.DataFrame(rows)


def cell_row(study: StudyData, cell: CellData) -> dict[str, Any]:
    judgement = cell.judgement
    ratio, twin = cost_ratio(study, cell), _twin_ratio(study, cell)
    together = cost_ratio(study, cell, cost.simultaneous_level(study.costs))
    return {
        **_identity_columns(cell, twin=False),
        **_verdict_columns(cell, judgement),
        **vars(measure_spread(cell)),
        **_cost_columns(cell, [*cell.timings, *cell.twins], ratio),
        "cost_low_together": together.low if together else None,
        "cost_high_together": together.high if together else None,
        "cost": cost.cost_label(ratio, together, twin),
        **_outcome_columns([*cell.traces, *cell.timings]),
        "note": judgement.note,
    }


def _twin_row(cell: CellData) -> dict[str, Any]:
    """Return the row of the A/A copy, which is only timed; its expected cost ratio is 1."""
    untraced = dataclasses.replace(cell, traces=[])
    ratio = twin_ratio(cell)
    return {
        **_identity_columns(cell, twin=True),
        **_verdict_columns(untraced, untraced.trace_judgement),
        **_cost_columns(cell, cell.twins, ratio),
        "cost": cost.cost_label(ratio, ratio, None),
        **_outcome_columns(cell.twins),
        "note": "",
    }


def _identity_columns(cell: CellData, twin: bool) -> dict[str, Any]:
    return {
        "cell": cell.id,
        "overrides": shlex.join([*cell.cell.overrides, *_perturbed_words(cell.cell)]),
        "baseline": cell.baseline or "",
        "scenario": cell.cell.scenario.label,
        "determinism": cell.cell.setting,
        "noise": "" if cell.cell.noise is Noise.none else str(cell.cell.noise),
        "device": cell.cell.device,
        "twin": twin,
        "role": cell.role,
        "same_as": cell.same_as or "",
    }


def _perturbed_words(cell: Cell) -> list[str]:
    return [f"perturbed.{word.replace(':', '=')}" for word in cell.perturbed or ()]


def _verdict_columns(cell: CellData, judgement: Judgement) -> dict[str, Any]:
    runs, agreement = cell.completed, judgement.agreement
    divergence = judgement.first_divergence
    return {
        "trace_runs": judgement.completed,
        "repeats": max((len(run.repeats) for run in runs), default=0),
        "trainings": sum(len(run.repeats) for run in runs),
        "distinct": judgement.distinct,
        "differ": agreement.differing,
        "differ_of": agreement.processes,
        "steps": max((len(run.repeats[0].steps) for run in runs), default=None),
        "verdict": str(judgement.verdict),
        "verdict_wording": wording(judgement.verdict, cell.independent_runs),
        "independent_runs": cell.independent_runs,
        "divergence_rate_upper": _divergence_bound(cell, judgement),
        "first_step": divergence.step if divergence else None,
        "first_component": divergence.component if divergence else "",
    }


def _divergence_bound(cell: CellData, judgement: Judgement) -> float | None:
    """The bound on the chance that a fresh process differs; None where the cell varies anyway."""
    if judgement.verdict.differs:
        return None
    return divergence_rate_upper(cell.independent_runs)


def _cost_columns(
    cell: CellData, runs: Sequence[RunRecord], ratio: cost.Ratio | None
) -> dict[str, Any]:
    timed = [run for run in runs if is_timed(run)]
    return {
        "timing_runs": len(timed),
        "step_ms": _geometric_mean(
            [1000 * seconds for seconds in _pooled_by_block(timed).values()]
        ),
        "median_step_ms": _median([1000 * _median_step_s(run) for run in timed]),
        "counted_steps": _median([run.timed.counted_steps for run in timed if run.timed]),
        "counted_s": _median([run.timed.counted_s for run in timed if run.timed]),
        "cost_ratio": ratio.point if ratio else None,
        "cost_low": ratio.low if ratio else None,
        "cost_high": ratio.high if ratio else None,
        # a forked process does not count the files that its server has mapped, such as torch
        "peak_mb": None if cell.is_forked else _median([run.peak_mb for run in timed]),
        "setup_s": _median([run.setup_s for run in timed]),
    }


def _outcome_columns(runs: Sequence[RunRecord]) -> dict[str, int]:
    outcomes = [run.outcome for run in runs]
    return {
        "runs_ok": outcomes.count(Outcome.ok),
        "runs_refused": outcomes.count(Outcome.refused),
        "runs_failed": sum(outcome.failed for outcome in outcomes),
        "runs_nan": outcomes.count(Outcome.nan),
        "runs_contended": outcomes.count(Outcome.contended),
    }


def cost_ratio(study: StudyData, cell: CellData, level: float = cost.LEVEL) -> cost.Ratio | None:
    """Return a cell's cost relative to its baseline; None if it is the baseline or has none."""
    if cell.baseline is None or is_baseline(study, cell):
        return None
    baseline = _measured_baseline(study, cell)
    ours, theirs = _of_one_allocation(cell.timings, [*baseline.timings, *baseline.twins])
    return cost.paired_ratio(
        cost.by_block(ours), _pooled_by_block(theirs), level, cell.first_blocks
    )


def ratio_between(study: StudyData, cell_id: str, other_id: str) -> cost.Ratio | None:
    """Return the time per step of a cell relative to another one; None if they are the same."""
    cell, other = (_measured(study, study.by_id(each)) for each in (cell_id, other_id))
    if cell.id == other.id:
        return None
    runs = _of_one_allocation(*([*each.timings, *each.twins] for each in (cell, other)))
    ours, theirs = map(_pooled_by_block, runs)
    return cost.paired_ratio(ours, theirs, first=cell.first_blocks)


def _of_one_allocation(*groups: Sequence[RunRecord]) -> list[list[RunRecord]]:
    """Leave out the blocks whose runs come from several allocations of a cluster.

    Two nodes, or one node on two days, may differ in speed.
    """
    allocations = defaultdict(set)
    for run in chain(*groups):
        allocations[run.spec.number].add(run.node.get("allocation"))
    return [[run for run in own if len(allocations[run.spec.number]) == 1] for own in groups]


def _pooled_by_block(runs: Sequence[RunRecord]) -> dict[int, float]:
    """Seconds per step by block; a baseline and its twin are equal code, so both count."""
    arms = [[run for run in runs if run.spec.twin is twin] for twin in (False, True)]
    return cost.pool_arms(*map(cost.by_block, arms))


def is_baseline(study: StudyData, cell: CellData) -> bool:
    """Whether a cell is its own baseline, or an alias of it."""
    if cell.baseline is None:
        return False
    return (cell.same_as or cell.id) == _measured_baseline(study, cell).id


def _twin_ratio(study: StudyData, cell: CellData) -> cost.Ratio | None:
    return twin_ratio(_measured_baseline(study, cell)) if cell.baseline else None


def twin_ratio(baseline: CellData, level: float = cost.LEVEL) -> cost.Ratio | None:
    """Return the ratio of a baseline's twin to it, whose true value is 1."""
    runs = _of_one_allocation(baseline.twins, baseline.timings)
    twins, timings = map(cost.by_block, runs)
    return cost.paired_ratio(twins, timings, level, baseline.first_blocks)


def _measured_baseline(study: StudyData, cell: CellData) -> CellData:
    return _measured(study, study.by_id(cell.baseline or cell.id))


def _measured(study: StudyData, cell: CellData) -> CellData:
    return study.by_id(cell.same_as) if cell.same_as else cell


def _median_step_s(run: RunRecord) -> float:
    assert run.timed is not None
    steps, counted = run.timed.step_s, run.timed.counted_steps
    warmup = len(steps) - counted if counted < len(steps) else run.spec.warmup
    return float(np.median(steps[warmup:]))


def _geometric_mean(values: Sequence[float]) -> float | None:
    """The quotient of two cells' means is their cost, if both have the same blocks."""
    return float(np.exp(np.mean(np.log(values)))) if values else None


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
