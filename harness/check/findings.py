"""Each requirement checked against each cell, with the functions that the report uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from harness.analysis.cell_table import cell_row, cost_ratio, is_baseline
from harness.analysis.controls import Control, Controls, check_controls
from harness.analysis.cost import TwinCheck
from harness.analysis.study_data import CellData, StudyData
from harness.check.options import FEWEST_RUNS, GateOptions
from harness.core.agreement import Agreement
from harness.core.errors import UsageError
from harness.core.verdict import Verdict, place_at_step_zero
from harness.report.content.basis import unobserved_basis
from harness.report.content.cell_caveats import ENDINGS, because
from harness.report.format import interval, join_words, percent, plural


class State(StrEnum):
    holds = "holds"
    skipped = "skipped"
    broken = "broken"


# Broken requirements come last, where a terminal shows them.
ORDER = tuple(State)


@dataclass(frozen=True)
class Finding:
    cell: str  # its id, or ``STUDY`` for a finding about the whole study
    requirement: str
    state: State
    found: str


STUDY = "study"


def find_all(study: StudyData, cells: Sequence[CellData], gate: GateOptions) -> list[Finding]:
    """Return all findings, sorted by ``ORDER``.

    Raises UsageError if only the cost of baselines was requested, since that would always pass.
    """
    findings = [finding for cell in cells for finding in _cell_findings(study, cell, gate)]
    if all(finding.state is State.skipped for finding in findings):
        raise UsageError(
            "nothing to judge: every selected cell is a baseline, whose cost is 1 by definition; "
            "select other settings with --determinism, or add --require identical"
        )
    findings += _control_findings(check_controls(study), gate)
    return sorted(findings, key=lambda finding: ORDER.index(finding.state))


def _cell_findings(study: StudyData, cell: CellData, gate: GateOptions) -> Iterator[Finding]:
    row = cell_row(study, cell)
    if gate.require is not None:
        yield Finding(
            cell.id, str(gate.require), *_check_verdict(cell, row, gate.require, gate.min_runs)
        )
    if gate.max_cost is not None:
        requirement = f"cost at most {gate.max_cost:g}"
        yield Finding(cell.id, requirement, *_check_cost(study, cell, row, gate.max_cost))


def _check_verdict(
    cell: CellData, row: dict[str, Any], required: Verdict, min_runs: int
) -> tuple[State, str]:
    """One differing run proves a difference; claiming none requires ``min_runs``."""
    verdict = Verdict(row["verdict"])
    counted = row["independent_runs"]
    if verdict is Verdict.identical and required is verdict and counted < min_runs:
        kind = "independent runs" if counted < row["trace_runs"] else "runs"
        return State.broken, f"{_describe_evidence(cell, row)}, but {min_runs} {kind} are required"
    met = verdict is required or (required is Verdict.varies and verdict.differs)
    return State.holds if met else State.broken, _describe_evidence(cell, row)


def _describe_evidence(cell: CellData, row: dict[str, Any]) -> str:
    """Describe the verdict and the number of runs behind it."""
    verdict, runs = Verdict(row["verdict"]), plural(row["trace_runs"], "run")
    if verdict is Verdict.identical:
        bound = row["divergence_rate_upper"]
        basis = unobserved_basis(cell)
        return (
            f"{row['verdict_wording']} in {runs} "
            f"(a fresh run differs with probability at most {percent(bound)}, at 95 % confidence)"
            + (f"; no training step was observed, runs are compared by {basis}" if basis else "")
        )
    if verdict.differs:
        agreement = Agreement.of_row(row)
        where = row["note"] or _describe_divergence(row)
        return f"{verdict} in {runs}: {agreement.describe()}; {where}"
    if verdict is Verdict.not_tested:
        return f"not tested: {runs} completed, but {FEWEST_RUNS} are required"
    return f"{verdict}: {_describe_failures(cell)}"


def _describe_divergence(row: dict[str, Any]) -> str:
    step, component = row["first_step"], row["first_component"]
    return f"first at step {step}, in {component}" if step else place_at_step_zero(component)


def _describe_failures(cell: CellData) -> str:
    """Count the runs that did not complete, by outcome, with the reason of the first of each."""
    failed = [run for run in cell.all_runs if not run.outcome.completed]
    first = {run.outcome: run for run in reversed(failed)}
    counts = Counter(run.outcome for run in failed)
    descriptions = [
        f"{number} of {plural(len(cell.all_runs), 'run')} {ENDINGS[outcome]}"
        f"{because(first[outcome])}"
        for outcome, number in counts.items()
    ]
    return join_words(descriptions)


def _check_cost(
    study: StudyData, cell: CellData, row: dict[str, Any], limit: float
) -> tuple[State, str]:
    """The whole interval must lie below the limit; only an identical cell has a cost."""
    if is_baseline(study, cell):
        return State.skipped, "the cell is the baseline: its cost is 1 by definition"
    if cell.baseline is None:
        return State.broken, "no cost was measured: the cell has no baseline in this study"
    ratio = cost_ratio(study, cell)
    if ratio is None:
        return State.broken, "no cost was measured: fewer than 2 timing blocks with the baseline"
    if row["verdict"] != Verdict.identical:
        return State.broken, f"no cost applies: the cell is not identical ({row['verdict']})"
    figures = f"{ratio.point:.3f} ({interval(ratio.low, ratio.high)}) in {ratio.blocks} blocks"
    if ratio.high <= limit:
        return State.holds, figures
    return State.broken, f"{'costs more' if ratio.low > limit else 'not shown'}: {figures}"


def _control_findings(controls: Controls, gate: GateOptions) -> Iterator[Finding]:
    """Without working controls a study shows nothing, so each control is a requirement.

    A twin only says whether times can be trusted, so it decides only with ``--max-cost``.
    """
    for twin in controls.twins if gate.max_cost is not None else ():
        ratio = twin.simultaneous
        figures = f"{ratio.point:.3f} ({interval(ratio.low, ratio.high)}) in {ratio.blocks} blocks"
        yield Finding(twin.cell, "A/A twin", TWIN[twin.check], f"{twin.check}: {figures}")
    control, sentence = controls.positive.control, controls.positive.sentence
    if control is not Control.off:
        yield Finding(STUDY, "positive control", POSITIVE[control], f"{control}. {sentence}")


TWIN = {
    TwinCheck.passed: State.holds,
    TwinCheck.inconclusive: State.skipped,  # the intervals of the cells are then wide, too
    TwinCheck.failed: State.broken,
}
POSITIVE = {
    Control.passed: State.holds,
    Control.failed: State.broken,
    Control.not_decided: State.broken,
    Control.not_possible: State.skipped,
}
