"""The map on the first screen of a report: verdicts by training and setting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from harness.analysis.study_data import StudyData
from harness.core.agreement import Agreement
from harness.core.spec import Noise
from harness.core.verdict import UNDISTINGUISHED, Verdict
from harness.report.content.matrix_rows import describe_divergence
from harness.report.format import interval, is_known

Row = Mapping[str, Any]

WIDE = 1.5  # ratio of an interval's ends, beyond which a single number would mislead
MOST_ROWS = 12  # with more, rows that are equal become one


@dataclass(frozen=True)
class Mark:
    """How a verdict is shown: by a symbol, not by color alone."""

    style: str  # class in report.css
    symbol: str
    word: str


SAME = Mark("same", "✓", "the same bits in every run")
ALIKE = Mark("alike", "○", UNDISTINGUISHED)
VARIES = Mark("varies", "✗", "varies")
RARELY = Mark("rarely", "◐", "rarely varies")
REFUSED = Mark("refused", "⊘", "refused: an operation has no deterministic implementation")
FAILED = Mark("failed", "!", "failed")
UNTESTED = Mark("untested", "–", "not tested")
MARKS = (SAME, ALIKE, VARIES, RARELY, REFUSED, FAILED, UNTESTED)


@dataclass(frozen=True)
class Field:
    """One cell of the study on the map."""

    cell: str  # whose runs these are
    mark: Mark
    differ: str  # as "0 of 30"; empty if nothing was compared
    first: str  # where runs first diverge, or empty
    cost: str  # as "1.04 ×"; empty if it has none
    is_shown: bool  # whether its cost is labelled slower or faster
    like: str  # the setting of the same row whose runs it shares, or empty
    text: str  # all of this in words


@dataclass(frozen=True)
class OverviewRow:
    names: list[str]  # of trainings whose rows are equal
    fields: list[Field | None]  # by column
    suffices: str  # the setting with the fewest switches that shows no difference

    @property
    def label(self) -> str:
        return self.names[0] if len(self.names) == 1 else f"{len(self.names)} trainings"


@dataclass(frozen=True)
class Overview:
    columns: list[str]
    rows: list[OverviewRow]


def build_overview(study: StudyData, table: pd.DataFrame) -> Overview:
    """Build the map from the labelled cell table, without twins.

    Settings share a column if in no row anything can tell them apart.
    """
    rows: dict[str, dict[str, Row]] = {}
    for record in table.to_dict("records"):
        row = {str(key): value for key, value in record.items()}
        rows.setdefault(row["scenario"], {})[row["determinism"]] = row
    columns = _merge_columns(_by_strength(study, rows.values()))
    trainings = [
        OverviewRow([name], _fields(settings, columns), _weakest(study, settings))
        for name, settings in rows.items()
    ]
    trainings.sort(key=lambda row: not _is_exception(row))
    names = [", ".join(column) for column in columns]
    return Overview(names, trainings if len(trainings) <= MOST_ROWS else _fold(trainings))


def used_marks(overview: Overview) -> set[Mark]:
    return {field.mark for row in overview.rows for field in row.fields if field}


def mark_of(row: Row) -> Mark:
    verdict = Verdict(row["verdict"])
    if verdict is Verdict.identical:
        return ALIKE if row["verdict_wording"] == UNDISTINGUISHED else SAME
    if verdict is Verdict.rarely:
        return RARELY
    if verdict.differs:
        return VARIES
    return {Verdict.refused: REFUSED, Verdict.failed: FAILED}.get(verdict, UNTESTED)


def measured_cell(row: Row) -> str:
    return str(row["same_as"] or row["cell"])


def _by_strength(study: StudyData, rows: Iterable[dict[str, Row]]) -> list[dict[str, Row]]:
    """Sort the settings of each row by the number of their switches."""
    strength = {
        setting: len(study.by_id(each["cell"]).cell.determinism.turned())
        for row in rows
        for setting, each in row.items()
    }
    return [{name: row[name] for name in sorted(row, key=strength.__getitem__)} for row in rows]


def _merge_columns(rows: Sequence[Mapping[str, Row]]) -> list[list[str]]:
    """Group settings that have the same runs in each row, in the order of their first ones."""
    groups: dict[tuple[str | None, ...], list[str]] = {}
    for setting in dict.fromkeys(setting for row in rows for setting in row):
        runs = tuple(measured_cell(row[setting]) if setting in row else None for row in rows)
        groups.setdefault(runs, []).append(setting)
    return list(groups.values())


def _fields(row: Mapping[str, Row], columns: Sequence[Sequence[str]]) -> list[Field | None]:
    fields: list[Field | None] = []
    first: dict[str, str] = {}  # setting by cell
    for setting, *_ in columns:
        if setting not in row:
            fields.append(None)
            continue
        like = first.setdefault(measured_cell(row[setting]), setting)
        fields.append(_field(row[setting], like if like != setting else ""))
    return fields


def _field(row: Row, like: str) -> Field:
    mark, agreement = mark_of(row), Agreement.of_row(row)
    differ = str(agreement) if agreement.processes > 1 else ""
    text = [f"{row['scenario']} under {row['determinism']}: {row['verdict_wording']}"]
    text += [agreement.describe()] if differ else []
    first = describe_divergence(row) if is_known(row["first_step"]) else ""
    text += [f"first at {first}"] if first else []
    cost, has_cost = "", mark in (SAME, ALIKE) and is_known(row["cost_ratio"])
    if row["is_baseline"] and row["timing_runs"]:
        cost = "baseline"
    elif has_cost:
        cost = _brief_cost(row)
        limits = interval(row["cost_low"], row["cost_high"])
        text.append(f"time per step {row['cost_ratio']:.3f} × ({limits}), {row['cost']}")
    if like:
        text.append(f"shares the runs of {like}, as nothing here tells them apart")
    return Field(
        cell=measured_cell(row),
        mark=mark,
        differ=differ,
        first=first,
        cost=cost,
        is_shown=row["cost"] in ("slower", "faster"),
        like=like,
        text="; ".join(text),
    )


def _brief_cost(row: Row) -> str:
    """The ratio; its interval instead, where that is too wide for one number."""
    low, high = row["cost_low"], row["cost_high"]
    if high / low < WIDE:
        return f"{row['cost_ratio']:.2f} ×"
    return f"{interval(low, high, 1)} ×"


def _weakest(study: StudyData, row: Mapping[str, Row]) -> str:
    """The setting with the fewest switches under which no difference was seen; or empty."""
    cells = {setting: study.by_id(each["cell"]).cell for setting, each in row.items()}
    enough = [
        setting
        for setting, each in row.items()
        if mark_of(each) in (SAME, ALIKE) and cells[setting].noise is Noise.none
    ]
    name = min(enough, key=lambda name: len(cells[name].determinism.turned()), default="")
    if name and mark_of(row[name]) is ALIKE:
        return f"{name} (n = {row[name]['independent_runs']})"  # which may be few
    return name


def _is_exception(row: OverviewRow) -> bool:
    """Whether some setting other than the first did not give the same bits."""
    return any(field and field.mark not in (SAME, ALIKE) for field in row.fields[1:])


def _fold(rows: Sequence[OverviewRow]) -> list[OverviewRow]:
    """Join rows that look the same, except for costs that no interval shows."""
    groups: dict[tuple[object, ...], OverviewRow] = {}
    for row in rows:
        looks = tuple(
            field and (field.mark, field.differ, field.like, field.cost * field.is_shown)
            for field in row.fields
        )
        known = groups.setdefault((looks, row.suffices), OverviewRow([], row.fields, row.suffices))
        known.names.extend(row.names)
    return [row if len(row.names) == 1 else _without_details(row) for row in groups.values()]


def _without_details(row: OverviewRow) -> OverviewRow:
    """A row of several trainings, without what is only true of the first of them."""
    fields = [field and _shared_part(field, row.label) for field in row.fields]
    return replace(row, fields=fields)


def _shared_part(field: Field, label: str) -> Field:
    """What is true of all; equal costs that an interval shows are a part of how rows look."""
    cost = field.cost * field.is_shown
    return replace(field, cell="", first="", cost=cost, text=f"{label}: {field.mark.word}")
