"""The cells that two studies share, side by side: the same bits, and if not, why perhaps."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum

from harness.analysis.study_data import CellData, StudyData
from harness.compare.environment import find_differences
from harness.core.spec_json import to_json
from harness.core.verdict import (
    Divergence,
    Verdict,
    find_divergence,
    outcome_key,
    place_at_step_zero,
)

OTHER_DATA = "other data (the batches differ, while the states of the generators agree)"


class Answer(StrEnum):
    same = "same bits"
    differ = "other bits"
    varies = "varies by itself"  # in one of the studies, so there is no result to compare
    unknown = "not comparable"  # too few runs, or failed ones


@dataclass(frozen=True)
class SharedCell:
    scenario: str
    setting: str
    device: str
    answer: Answer
    where: str  # the first step and component that differ, or what prevents the comparison
    reasons: list[str]  # what differs between the studies and may explain it


def compare(first: StudyData, second: StudyData) -> list[SharedCell]:
    """Compare each cell of the first study with the same cell of the second, if it has one."""
    others = {_identity(cell): cell for cell in second.cells}
    return [
        _compare_cell(first, second, cell, others[_identity(cell)])
        for cell in first.cells
        if _identity(cell) in others
    ]


def _identity(cell: CellData) -> str:
    """What makes two cells the same training: all but the number of the device."""
    spec = cell.cell
    return json.dumps(
        [
            spec.scenario.title,
            spec.scenario.options,
            to_json(spec.determinism),
            str(spec.noise),
            spec.device.partition(":")[0],
        ],
        sort_keys=True,
    )


def _compare_cell(
    first: StudyData, second: StudyData, one: CellData, other: CellData
) -> SharedCell:
    answer, where, reasons = Answer.same, "", []
    verdicts = [cell.judgement.verdict for cell in (one, other)]
    if any(verdict is not Verdict.identical for verdict in verdicts):
        varies = any(verdict.differs for verdict in verdicts)
        answer = Answer.varies if varies else Answer.unknown
        where = " and ".join(dict.fromkeys(verdicts))
    else:
        mine, theirs = one.completed[0].repeats[0], other.completed[0].repeats[0]
        if outcome_key(mine) != outcome_key(theirs):
            divergence = find_divergence(mine, theirs)
            assert divergence is not None, "the outcomes of these trainings differ"
            answer, where = Answer.differ, _place(divergence)
            differences = find_differences(first, second, one.cell.scenario.label)
            reasons = [str(difference) for difference in differences]
            if divergence.component == "batch":  # which only other data explain
                reasons.append(OTHER_DATA)
    spec = one.cell
    return SharedCell(spec.scenario.title, spec.setting, spec.device, answer, where, reasons)


def _place(divergence: Divergence) -> str:
    if divergence.step == 0:
        return place_at_step_zero(divergence.component)
    return f"step {divergence.step}, {divergence.component}"
