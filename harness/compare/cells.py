"""The cells that two studies share, side by side: the same bits, and if not, why perhaps."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

from harness.analysis.cell_table import cost_ratio
from harness.analysis.controls import check_controls
from harness.analysis.study_data import CellData, StudyData
from harness.compare.distance import describe_distance
from harness.compare.environment import digests_of, find_differences
from harness.core.spec import Cell
from harness.core.spec_json import to_json
from harness.core.verdict import (
    Divergence,
    Verdict,
    find_divergence,
    outcome_key,
    place_at_step_zero,
    wording,
)
from harness.report.format import DASH, interval, join_words

DIFFERENT_DATA = "different data (the batches differ, while the states of the generators agree)"


class Answer(StrEnum):
    same = "same bits"
    differ = "different bits"
    varies = "varies by itself"  # in one of the studies, so there is no result to compare
    unknown = "not comparable"  # too few runs, failed ones, or other digests


@dataclass(frozen=True)
class SharedCell:
    scenario: str
    setting: str
    device: str
    costs: tuple[str, str]  # relative to the baseline, in each study
    answer: Answer
    where: str = ""  # the first step and component that differ, or what prevents the comparison
    reasons: Sequence[str] = ()  # what differs between the studies and may explain it
    distance: str = ""  # how far apart they end, if their bits differ


def compare(first: StudyData, second: StudyData) -> list[SharedCell]:
    """Compare each cell of the first study with the same cell of the second, if it has one."""
    others = {_identity(cell): cell for cell in second.cells}
    return [
        _compare_cell(first, second, cell, others[_identity(cell)])
        for cell in first.cells
        if _identity(cell) in others
    ]


def has_trusted_costs(study: StudyData) -> bool:
    return not check_controls(study).failed


def find_unlike(first: StudyData, second: StudyData) -> list[str]:
    """Cells of equal names that are other trainings, so that they cannot be compared, and why."""
    shared = {_identity(cell) for cell in first.cells} & {_identity(cell) for cell in second.cells}
    mine, theirs = (_by_name(study, shared) for study in (first, second))
    lines = []
    for name in mine.keys() & theirs.keys():
        one, other = mine[name], theirs[name]
        fields = sorted({field for cell in one + other for field in _fields(cell)})
        values = {field: (_values(one, field), _values(other, field)) for field in fields}
        differing = [f"{field} ({a} and {b})" for field, (a, b) in values.items() if a != b]
        lines.append(f"{name[0]} under {name[1]}: other {', '.join(differing) or 'options'}")
    return sorted(lines)


def _by_name(study: StudyData, shared: Collection[str]) -> dict[tuple[str, str], list[Cell]]:
    """The other cells by what a reader takes for the same cell: training and setting."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for cell in study.cells:
        if _identity(cell) not in shared and not cell.cell.perturbed:
            found.setdefault((cell.cell.scenario.title, cell.cell.setting), []).append(cell.cell)
    return found


def _fields(cell: Cell) -> dict[str, Any]:
    """Options and switches by the words that override them, and the device and the noise."""
    options = {f"scenario.{name}": value for name, value in cell.scenario.options.items()}
    switches = {f"determinism.{name}": v for name, v in cell.determinism.switches().items()}
    device = cell.device.partition(":")[0]
    return {**options, **switches, "device": device, "noise": str(cell.noise)}


def _values(cells: Sequence[Cell], field: str) -> str:
    return ", ".join(dict.fromkeys(str(_fields(cell).get(field)) for cell in cells))


def _identity(cell: CellData) -> str:
    """What makes two cells the same training: all but the number of the device."""
    spec = cell.cell
    return json.dumps(
        [
            spec.scenario.title,
            spec.scenario.options,
            to_json(spec.determinism),
            str(spec.noise),
            spec.perturbed,
            spec.device.partition(":")[0],
        ],
        sort_keys=True,
    )


def _compare_cell(
    first: StudyData, second: StudyData, one: CellData, other: CellData
) -> SharedCell:
    spec, costs = one.cell, (_cost(first, one), _cost(second, other))
    found = partial(SharedCell, spec.scenario.title, spec.setting, spec.device, costs)
    verdicts = [cell.judgement.verdict for cell in (one, other)]
    if any(verdict is not Verdict.identical for verdict in verdicts):
        varies = any(verdict.differs for verdict in verdicts)
        return found(Answer.varies if varies else Answer.unknown, _word_verdicts(one, other))
    mine, theirs = one.completed[0].repeats[0], other.completed[0].repeats[0]
    if outcome_key(mine) == outcome_key(theirs):
        return found(Answer.same)
    digests = [digests_of(study) for study in (first, second)]
    if len(set(digests)) > 1:
        return found(Answer.unknown, f"digested by {join_words(digests)}, perhaps differently")
    divergence = find_divergence(mine, theirs)
    assert divergence is not None, "the outcomes of these trainings differ"
    reasons = [*map(str, find_differences(first, second, spec.scenario.label))]
    if divergence.component == "batch":  # which only different data explain
        reasons.append(DIFFERENT_DATA)
    distance = describe_distance(mine, theirs)
    return found(Answer.differ, _place(divergence), tuple(reasons), distance)


def _word_verdicts(one: CellData, other: CellData) -> str:
    first, second = (
        wording(cell.judgement.verdict, cell.independent_runs) for cell in (one, other)
    )
    return first if first == second else f"first: {first}; second: {second}"


def _cost(study: StudyData, cell: CellData) -> str:
    """Relative to the baseline; a setting that fails has no price."""
    is_quoted = cell.judgement.verdict is Verdict.identical
    ratio = cost_ratio(study, cell) if is_quoted else None
    return f"{interval(ratio.low, ratio.high)} ×" if ratio else DASH


def _place(divergence: Divergence) -> str:
    if divergence.step == 0:
        return place_at_step_zero(divergence.component)
    return f"step {divergence.step}, {divergence.component}"
