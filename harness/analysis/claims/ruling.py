"""What a rule gives, and what all rules read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from harness.analysis.study_data import CellData
from harness.core.verdict import Verdict, judge, outcome_key

MIN_RUNS = 10  # runs, for sameness; a fresh one may still differ with a chance of 28 %


Cells = dict[str, CellData]
Rows = dict[str, dict[str, Any]]  # the cell table by cell, without the twins


class Answer(StrEnum):
    holds = "holds here"
    fails = "does not hold here"
    open = "cannot be decided here"


@dataclass(frozen=True)
class Ruling:
    """``measured`` is our figure, to stand beside the published one; ``why`` says what decided."""

    answer: Answer
    why: str
    measured: str = ""


def negate(ruling: Ruling) -> Ruling:
    """The ruling on the opposite claim."""
    other = {Answer.holds: Answer.fails, Answer.fails: Answer.holds, Answer.open: Answer.open}
    return replace(ruling, answer=other[ruling.answer])


def verdict_of(cell: CellData) -> tuple[Verdict, int]:
    judgement = judge(cell.traces, [*cell.timings, *cell.twins])
    return judgement.verdict, judgement.completed


def describe_sameness(cell: CellData, table: Rows) -> str:
    row = table[cell.measured_id]
    return (
        f"{cell.id}: one digest in {row['trace_runs']} runs (a fresh run differs with a chance "
        f"of at most {100 * row['divergence_rate_upper']:.2g} %)"
    )


def describe_divergence(cell: CellData, table: Rows) -> str:
    """How many trainings agree, and where the others part: one in many is another fault."""
    row = table[cell.measured_id]
    if not row["first_component"]:  # traced trainings agree, and a timed one ended otherwise
        return f"{cell.id} {row['verdict']}: {row['note']}"
    keys = Counter(outcome_key(training) for _, training in cell.trainings())
    step, component = row["first_step"], row["first_component"]
    place = f"at step {step:g} in {component}" if step else "before step 1"
    return (
        f"{cell.id} {row['verdict']}: {max(keys.values())} of {keys.total()} trainings agree, "
        f"and they part {place}"
    )


def describe_distances(cell: CellData, table: Rows) -> str:
    row = table[cell.measured_id]
    return f"loss spread {100 * row['loss_spread']:.3g} %, weights {row['weight_rel_l2']:.2g}"
