"""What a report says of the study itself: settings, machine, scenarios' notes."""

from __future__ import annotations

import json
from typing import Any

from harness.analysis.study_data import CellData, StudyData
from harness.report.format import figure


def describe_settings(study: StudyData) -> list[tuple[str, str]]:
    settings = {cell.cell.setting: cell.cell.determinism for cell in study.cells}
    described = []
    for name, setting in settings.items():
        turned = [f"{switch}={value}" for switch, value in sorted(setting.turned().items())]
        described.append((name, ", ".join(turned) or "nothing"))
    return described


def machine_rows(study: StudyData) -> list[tuple[str, str]]:
    manifest = study.manifest
    rows = {**manifest["machine"], **manifest["software"]}
    for index, device in enumerate(manifest["cuda"]):
        rows[f"cuda:{index}"] = _format_value(device)
    return [(key.replace("_", " "), str(value)) for key, value in rows.items() if value is not None]


def scenario_notes(cell: CellData) -> tuple[str, str, list[tuple[str, str]]] | None:
    """Facts that a scenario reports, preferably from a timing run, in which nothing is digested."""
    if cell.same_as:
        return None
    facts = next((run.timed.facts for run in cell.timings if run.timed), {})
    facts = facts or next((repeat.facts for _, repeat in cell.trainings()), {})
    lines = [(key, _format_value(value)) for key, value in facts.items()]
    return (cell.cell.scenario.title, cell.cell.setting, lines) if lines else None


def _format_value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_format_value(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return "; ".join(map(_format_value, value))
    if isinstance(value, float):
        return figure(value)
    if isinstance(value, str) and len(value) == 32:  # a digest
        return value[:8]
    return str(value) if not isinstance(value, bool) else json.dumps(value)
