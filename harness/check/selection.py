"""Which cells to check: the requested ones, and others if named."""

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
    left_out: list[CellData]  # match the names, but are only controls or baselines of the study


def select_cells(study: StudyData, gate: GateOptions) -> Selection:
    """Raises UsageError if the study lacks a name, or if no cell remains."""
    _check_known("scenario", gate.scenarios, (cell.cell.scenario.label for cell in study.cells))
    _check_known("determinism", gate.settings, (cell.cell.setting for cell in study.cells))
    matching = [
        cell
        for cell in study.cells
        if (not gate.scenarios or cell.cell.scenario.label in gate.scenarios)
        and (not gate.settings or cell.cell.setting in gate.settings)
    ]
    pairs = control_cells(study).values()
    controls = {cell.measured_id for pair in pairs for cell in pair.values()}
    left_out = [cell for cell in matching if _is_left_out(cell, gate, cell.measured_id in controls)]
    cells = [cell for cell in matching if cell not in left_out]
    if not cells:
        excluded = " ".join(cell.id for cell in left_out)
        raise UsageError(
            "--scenario and --determinism leave no cell to check; this study has "
            f"{' '.join(cell.id for cell in study.cells)}"
            + (f"; excluded unless named: {excluded}" if excluded else "")
        )
    return Selection(cells, left_out)


def _is_left_out(cell: CellData, gate: GateOptions, is_control: bool) -> bool:
    """Whether a cell is excluded as a control, or as an added baseline, that is not named."""
    if is_control or cell.role == Role.control:
        return cell.cell.scenario.label not in gate.scenarios
    return cell.role == Role.baseline and cell.cell.setting not in gate.settings


def _check_known(key: str, requested: Sequence[str], available: Iterable[str]) -> None:
    known = list(dict.fromkeys(available))
    if unknown := [name for name in requested if name not in known]:
        raise UsageError(f"--{key} {','.join(unknown)}: this study has {', '.join(known)}")
