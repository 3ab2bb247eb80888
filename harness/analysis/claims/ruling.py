"""The result of a rule, and the descriptions that rules share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from harness.analysis.study_data import CellData
from harness.core.agreement import Agreement
from harness.core.steps import COMPONENTS
from harness.core.verdict import Verdict, earliest_divergence, place_at_step_zero

MIN_RUNS = 10  # to call results identical; 10 agreeing runs bound the chance of another at 28 %


Cells = dict[str, CellData]
Rows = dict[str, dict[str, Any]]  # rows of the cell table by cell id, without twins


class Answer(StrEnum):
    holds = "holds here"
    fails = "does not hold here"
    open = "cannot be decided here"


@dataclass(frozen=True)
class Ruling:
    """An answer, its reason, and our figure to show beside the published one (``measured``)."""

    answer: Answer
    why: str
    measured: str = ""


def negate(ruling: Ruling) -> Ruling:
    """Return the ruling on the opposite claim."""
    opposite = {Answer.holds: Answer.fails, Answer.fails: Answer.holds, Answer.open: Answer.open}
    return replace(ruling, answer=opposite[ruling.answer])


def verdict_of(cell: CellData) -> tuple[Verdict, int]:
    """Return the cell's verdict and its number of completed trace runs."""
    judgement = cell.judgement
    return judgement.verdict, judgement.completed


def check_component(component: str, cell: CellData) -> Ruling | None:
    """An open ruling if the claim names a component and runs first diverge at another one."""
    divergence = earliest_divergence(cell.completed, [c for c in COMPONENTS if c != "rng"])
    if not component or divergence is None or divergence.component == component:
        return None
    why = f"{cell.id} first diverges at {divergence.component}, not at {component}"
    return Ruling(Answer.open, why)


def describe_sameness(cell: CellData, table: Rows) -> str:
    row = table[cell.measured_id]
    return (
        f"{cell.id}: one digest in {row['trace_runs']} runs (a fresh run differs with "
        f"probability at most {100 * row['divergence_rate_upper']:.2g} %)"
    )


def describe_divergence(cell: CellData, table: Rows) -> str:
    """Describe where runs diverge, and how often: a rare divergence has another cause."""
    row = table[cell.measured_id]
    if not row["first_component"]:  # trace runs agree, but a timing run ended with other bits
        return f"{cell.id} {row['verdict']}: {row['note']}"
    agreement = Agreement.of_row(row)
    step, component = row["first_step"], row["first_component"]
    place = f"at step {step:g} in {component}" if step else place_at_step_zero(component)
    return f"{cell.id} {row['verdict']}: {agreement.describe()}; first divergence {place}"


def describe_distances(cell: CellData, table: Rows) -> str:
    row = table[cell.measured_id]
    return f"loss spread {100 * row['loss_spread']:.3g} %, weights {row['weight_rel_l2']:.2g}"
