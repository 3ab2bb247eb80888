"""Which cells are judged: those that somebody asked for, unless others are named."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.analysis.controls import control_cells
from harness.analysis.study_data import CellData, StudyData
from harness.check.options import GateOptions
from harness.core.errors import UsageError
from harness.core.role import Role


@dataclass(frozen=True)
class Selection:
    cells: list[CellData]
    left_out: list[CellData]  # would fit, and are there for the study's own sake


def select_cells(study: StudyData, gate: GateOptions) -> Selection:
    """Raises UsageError for a name that the study has not, and where no cell is left."""
    _check_known("scenario", gate.scenarios, (one.cell.scenario.label for one in study.cells))
    _check_known("determinism", gate.settings, (one.cell.setting for one in study.cells))
    fitting = [
        one
        for one in study.cells
        if (not gate.scenarios or one.cell.scenario.label in gate.scenarios)
        and (not gate.settings or one.cell.setting in gate.settings)
    ]
    controls = {one.measured_id for pair in control_cells(study).values() for one in pair.values()}
    left_out = [one for one in fitting if _is_left_out(one, gate, one.measured_id in controls)]
    cells = [one for one in fitting if one not in left_out]
    if not cells:
        also = f"; left out unless named: {' '.join(one.id for one in left_out)}" * bool(left_out)
        raise UsageError(
            "--scenario and --determinism leave no cell of this study to judge: it "
            f"has {' '.join(one.id for one in study.cells)}{also}"
        )
    return Selection(cells, left_out)


def _is_left_out(cell: CellData, gate: GateOptions, is_control: bool) -> bool:
    """A control has to vary and a baseline is only there to compare with, unless named."""
    if is_control or cell.role == Role.control:
        return cell.cell.scenario.label not in gate.scenarios
    return cell.role == Role.baseline and cell.cell.setting not in gate.settings


def _check_known(key: str, wanted: Sequence[str], there: Iterable[str]) -> None:
    known = list(dict.fromkeys(there))
    if unknown := [name for name in wanted if name not in known]:
        raise UsageError(f"--{key} {','.join(unknown)}: this study has {', '.join(known)}")
