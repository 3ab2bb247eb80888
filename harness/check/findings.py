"""Each requirement against each cell, by the figures that the report's tables are made from."""

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
from harness.core.errors import UsageError
from harness.core.verdict import Verdict
from harness.report.caveats import ENDINGS, failure_reason
from harness.report.format import MIN_IDENTICAL_RUNS, interval, join_words, percent


class State(StrEnum):
    holds = "holds"
    skipped = "skipped"
    broken = "broken"


# What decides comes last, where a terminal ends.
ORDER = tuple(State)


@dataclass(frozen=True)
class Finding:
    cell: str  # its id, or ``STUDY`` for what is the study's own
    requirement: str
    state: State
    found: str


STUDY = "study"


def find_all(study: StudyData, cells: Sequence[CellData], gate: GateOptions) -> list[Finding]:
    """What holds, what was skipped, what is broken, in this order.

    Raises UsageError where nothing but baselines was asked what it costs: that would pass always.
    """
    found = [one for cell in cells for one in _cell_findings(study, cell, gate)]
    if all(one.state is State.skipped for one in found):
        raise UsageError(
            "nothing to judge: every chosen cell is the baseline of its own cost; "
            "choose others by --determinism, or add --require identical"
        )
    found += _control_findings(check_controls(study))
    return sorted(found, key=lambda one: ORDER.index(one.state))


def _cell_findings(study: StudyData, cell: CellData, gate: GateOptions) -> Iterator[Finding]:
    seen = cell_row(study, cell)
    if gate.require is not None:
        yield Finding(
            cell.id, str(gate.require), *_check_verdict(cell, seen, gate.require, gate.min_runs)
        )
    if gate.max_cost is not None:
        requirement = f"cost at most {gate.max_cost:g}"
        yield Finding(cell.id, requirement, *_check_cost(study, cell, seen, gate.max_cost))


def _check_verdict(
    cell: CellData, seen: dict[str, Any], required: Verdict, min_runs: int
) -> tuple[State, str]:
    """A difference is shown by however few runs; that there is none wants enough of them."""
    verdict = Verdict(seen["verdict"])
    if verdict is Verdict.identical and required is verdict and seen["trace_runs"] < min_runs:
        return State.broken, f"{_describe_evidence(cell, seen)}, and {min_runs} are wanted"
    met = verdict is required or (required is Verdict.varies and verdict.differs)
    return State.holds if met else State.broken, _describe_evidence(cell, seen)


def _describe_evidence(cell: CellData, seen: dict[str, Any]) -> str:
    """The verdict in words, with the runs that it rests on."""
    verdict, runs = Verdict(seen["verdict"]), plural(seen["trace_runs"], "run")
    if verdict is Verdict.identical:
        claim = "identical" if seen["trace_runs"] >= MIN_IDENTICAL_RUNS else "no difference seen"
        bound = percent(seen["divergence_rate_upper"])
        return f"{claim} in {runs} (a fresh run differs with a chance of at most {bound})"
    if verdict.differs:
        return f"{verdict} in {runs}: {seen['note'] or _describe_divergence(seen)}"
    if verdict is Verdict.not_tested:
        return f"not tested: {runs} came to an end, and {FEWEST_RUNS} are needed"
    return f"{verdict}: {_describe_failures(cell)}"


def _describe_divergence(seen: dict[str, Any]) -> str:
    step = seen["first_step"]
    return f"first at step {step}, in {seen['first_component']}" if step else "before step 1"


def _describe_failures(cell: CellData) -> str:
    """How many runs did not come to their end, by how they ended, each with the first's reason."""
    bad = [run for run in cell.all_runs if not run.outcome.completed]
    first = {run.outcome: run for run in reversed(bad)}
    counts = Counter(run.outcome for run in bad)
    parts = [
        f"{number} of {plural(len(cell.all_runs), 'run')} {ENDINGS[outcome]}"
        f"{failure_reason(first[outcome])}"
        for outcome, number in counts.items()
    ]
    return join_words(parts)


def _check_cost(
    study: StudyData, cell: CellData, seen: dict[str, Any], limit: float
) -> tuple[State, str]:
    """The whole interval counts, and, as in the report, only where no difference was seen."""
    if is_baseline(study, cell):
        return State.skipped, "it is the baseline: 1 by definition"
    if cell.baseline is None:
        return State.broken, "no cost was measured: this cell has no baseline in the study"
    ratio = cost_ratio(study, cell)
    if ratio is None:
        return State.broken, "no cost was measured: under 2 timing blocks of cell and baseline"
    if seen["verdict"] != Verdict.identical:
        return State.broken, f"no cost is quoted of what is not identical ({seen['verdict']})"
    figures = f"{ratio.point:.3f} ({interval(ratio.low, ratio.high)}) in {ratio.blocks} blocks"
    if ratio.high <= limit:
        return State.holds, figures
    return State.broken, f"{'costs more' if ratio.low > limit else 'not shown'}: {figures}"


def _control_findings(checked: Controls) -> Iterator[Finding]:
    """A study that finds a difference where none is, or none where one is, shows nothing."""
    for twin in checked.twins:
        ratio = twin.simultaneous
        figures = f"{ratio.point:.3f} ({interval(ratio.low, ratio.high)}) in {ratio.blocks} blocks"
        yield Finding(twin.cell, "A/A twin", TWIN[twin.check], f"{twin.check}: {figures}")
    control, sentence = checked.positive.control, checked.positive.sentence
    yield Finding(STUDY, "positive control", POSITIVE[control], f"{control}. {sentence}")


TWIN = {
    TwinCheck.passed: State.holds,
    TwinCheck.inconclusive: State.skipped,  # then the cells' own intervals are wide, too
    TwinCheck.failed: State.broken,
}
POSITIVE = {
    Control.passed: State.holds,
    Control.failed: State.broken,
    Control.not_decided: State.broken,
    Control.not_possible: State.skipped,
    Control.off: State.skipped,
}


def plural(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
