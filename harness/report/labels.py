"""Names of scenarios and settings that tell all rows of a table apart."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from harness.analysis.study_data import StudyData
from harness.core.spec import Cell

Row = dict[Hashable, Any]

# Of a script: its title says the first two, and the words of the last are compared one by one.
PROGRAM_OPTIONS = ("path", "module", "args")


def add_labels(study: StudyData, table: pd.DataFrame) -> pd.DataFrame:
    """Return the cell table with labels of scenarios and settings."""
    rows = table.to_dict("records")
    scenarios = scenario_labels(study, rows)
    settings = [
        _label(
            row["determinism"],
            [*_overrides(row, "determinism."), *_overrides(row, "perturbed."), *_noise(row)],
        )
        for row in rows
    ]
    return table.assign(
        scenario=scenarios,
        determinism=_disambiguate(rows, scenarios, settings),
        is_baseline=table["cell"] == table["baseline"],
    )


def scenario_labels(study: StudyData, rows: Sequence[Row]) -> list[str]:
    """Return the scenario of each row with its overrides; of a script, those that differ."""
    scripts = {
        cell.id: cell.cell for cell in study.cells if cell.cell.scenario.framework == "script"
    }
    names = _script_names(scripts)
    several_devices = len({row["device"] for row in rows}) > 1
    return [
        _label(
            *names.get(row["cell"], (row["scenario"], _overrides(row, "scenario."))),
            [row["device"]] * several_devices,
        )
        for row in rows
    ]


def _script_names(cells: Mapping[str, Cell]) -> dict[str, tuple[str, list[str]]]:
    """Return the file of each script, with the words in which cells of the same script differ."""
    words = {key: _script_words(cell) for key, cell in cells.items()}
    variants: dict[str, list[list[str]]] = {}
    for key, cell in cells.items():
        variants.setdefault(_program(cell), []).append(words[key])
    shared = {program: set.intersection(*map(set, each)) for program, each in variants.items()}
    titles = Counter(Path(program).name for program in variants)
    names = {}
    for key, cell in cells.items():
        program = _program(cell)
        title = cell.scenario.title if titles[Path(program).name] == 1 else program
        names[key] = (title, [word for word in words[key] if word not in shared[program]])
    return names


def _program(cell: Cell) -> str:
    return str(cell.scenario.options["path"] or cell.scenario.options["module"])


def _script_words(cell: Cell) -> list[str]:
    """The arguments of a script, each option with its value, and the overrides of its scenario."""
    words: list[str] = []
    for argument in map(str, cell.scenario.options["args"]):
        is_value = words and words[-1].startswith("-") and not re.search("[= ]", words[-1])
        if is_value and not argument.startswith("-"):
            words[-1] += f" {argument}"
        else:
            words.append(argument)
    overrides = (word.removeprefix("scenario.") for word in cell.overrides if "scenario." in word)
    return words + [word for word in overrides if word.split("=")[0] not in PROGRAM_OPTIONS]


def _label(name: str, details: Sequence[str], more: Sequence[str] = ()) -> str:
    return f"{name} ({', '.join([*details, *more])})" if [*details, *more] else name


def _overrides(row: Row, group: str) -> list[str]:
    words = shlex.split(row["overrides"])
    return [word.removeprefix(group) for word in words if word.startswith(group)]


def _noise(row: Row) -> list[str]:
    return [f"noise={row['noise']}"] if row["noise"] else []


def _disambiguate(
    rows: Sequence[Row], scenarios: Sequence[str], settings: Sequence[str]
) -> list[str]:
    """Append the cell's hash to a setting that several cells share, as with redacted overrides."""
    cells: dict[tuple[Any, ...], set[str]] = {}
    for row, *labels in zip(rows, scenarios, settings, strict=True):
        cells.setdefault((row["device"], *labels), set()).add(row["cell"])
    ambiguous = {cell for sharing in cells.values() if len(sharing) > 1 for cell in sharing}
    return [
        f"{name} [{row['cell'].rpartition('-')[2]}]" if row["cell"] in ambiguous else name
        for row, name in zip(rows, settings, strict=True)
    ]
