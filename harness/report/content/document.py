"""The content of the report, in its order, as plain data for the pages and the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.analysis.controls import Controls, Twin
from harness.analysis.study_data import StudyData
from harness.core.binomial import divergence_rate_upper
from harness.core.command_line import command
from harness.core.place import cite, describe_place
from harness.core.verdict import Verdict
from harness.report.content.caveats import find_caveats
from harness.report.content.cell_caveats import Caveat
from harness.report.content.cell_panels import CellPanel, build_panels
from harness.report.content.dependence import DependenceReport, dependence_of
from harness.report.content.headline import diagnosis_headline, noise_headline, training_headline
from harness.report.content.lights import Light, control_lights
from harness.report.content.matrix_rows import MatrixRow, matrix_rows
from harness.report.content.operations import operation_cells, operation_sentences
from harness.report.content.overview import MARKS, Mark, Overview, build_overview, used_marks
from harness.report.content.recipe import RecipeReport, recipe_of
from harness.report.content.run_counts import describe_stops, summarize_runs
from harness.report.content.special_rows import (
    audit_rows,
    claim_rows,
    count_answers,
    describe_sources,
    first_calls_rows,
    noise_rows,
    string_rows,
)
from harness.report.content.study_facts import describe_settings, machine_rows, scenario_notes
from harness.report.content.summary import sentences
from harness.report.format import interval, percent
from harness.report.tables.tables import Tables

FEW = 6  # equal runs, below which up to half of fresh ones may differ
ASKED = ("asked", "baseline")  # roles of cells that a reader wants to know about
FAILED = "A control of this study failed: do not trust its numbers."


@dataclass(frozen=True)
class ReportContent:
    title: str
    headlines: list[str]  # what the study found, the most important first
    where: str  # framework and device
    lights: list[Light]
    overview: Overview
    evidence: str  # what equal runs and costs can show here
    panels: list[CellPanel]
    stamp: str  # "not for conclusions", or empty
    asked: str  # the requested matrix, or empty
    created: str
    sentences: list[tuple[str, str]]  # scenario, sentence
    diagnosis: dict[str, Any] | None  # the document in diagnosis.json
    recipe: RecipeReport | None
    dependence: DependenceReport | None
    positive: tuple[str, str]  # control, sentence
    twins: list[tuple[str, ...]]  # rows by legend.TWINS
    smallest_detectable: str
    claims: list[dict[str, str]]  # rows of claims.csv
    answers: str  # how many claims hold, do not hold, and are open
    sources: str  # of the claims
    noise: list[tuple[str, ...]]  # rows by legend.NOISE
    audit: list[dict[str, str]]  # rows of audit.csv
    lengths: list[dict[str, str]]  # rows of audit_lengths.csv
    first_calls: list[tuple[str, ...]]  # rows by legend.FIRST_CALLS
    matrix: list[MatrixRow]  # without the operations that these tables describe
    together: str  # one bound for all cells in which no difference was seen
    stopped: str  # which cells got fewer runs than others, and why; or empty
    facts: list[tuple[str, str, list[tuple[str, str]]]]  # scenario, setting, notes
    warnings: list[Caveat]
    important: list[Caveat]  # those that limit what the first screen says
    marks: list[Mark]  # that the overview uses
    citation: str
    settings: list[tuple[str, str]]  # name, and the switches that it turns
    machine: list[tuple[str, str]]
    command: str
    summary: str


def build_content(study: StudyData, cells: pd.DataFrame, tables: Tables) -> ReportContent:
    """Build the content of a report; ``cells`` is the cell table with labels."""
    manifest, controls = study.manifest, tables.controls
    experiments = _merge_aliases(cells)
    apart = operation_cells(study, tables)
    dependence = dependence_of(study.dependence)
    trainings = experiments[~experiments["cell"].isin(apart) & ~experiments["twin"]]
    if dependence:  # which has compared the cells with one another
        trainings = trainings.head(0)
    asked = _asked_cells(cells[~cells["cell"].isin(apart) & ~cells["twin"]])
    matrix = matrix_rows(trainings)
    warnings = find_caveats(study, controls)
    recipe = recipe_of(study, cells)
    searched = recipe is not None or dependence is not None
    is_map = not (searched or study.diagnosis)
    overview = build_overview(study, asked) if is_map else Overview([], [])
    return ReportContent(
        title=study.name,
        headlines=_headlines(study, asked, tables, recipe or dependence),
        where=describe_place(study.manifest),
        lights=[] if dependence else control_lights(controls, searched),
        overview=overview,
        evidence=""
        if searched
        else _describe_evidence(experiments if tables.first_calls.empty else trainings, controls),
        panels=build_panels(study, trainings, matrix),
        stamp="not for conclusions" * manifest["request"]["not_for_conclusions"],
        asked=f"matrix={manifest['request']['matrix']}" if manifest["request"]["matrix"] else "",
        created=manifest["created"].replace("T", " ").replace("Z", " UTC"),
        sentences=[*operation_sentences(tables), *([] if searched else sentences(trainings))],
        diagnosis=study.diagnosis,
        recipe=recipe,
        dependence=dependence,
        positive=(str(controls.positive.control), controls.positive.sentence),
        twins=[_twin_row(twin) for twin in controls.twins],
        smallest_detectable=_describe_detectable(controls),
        claims=claim_rows(tables.claims),
        answers=count_answers(tables.claims),
        sources=describe_sources(tables.claims),
        noise=noise_rows(study, tables.noise),
        audit=audit_rows(tables.audit),
        lengths=string_rows(tables.lengths),
        first_calls=first_calls_rows(tables.first_calls),
        matrix=matrix,
        together=_simultaneous_bound(trainings),
        stopped=describe_stops(study),
        facts=[
            notes
            for cell in study.cells
            if cell.id not in apart
            and dependence is None
            and (study.recipe is None or cell.id == study.recipe["cell"])
            and (notes := scenario_notes(cell))
        ],
        warnings=warnings,
        important=[warning for warning in warnings if not warning.is_note],
        marks=[mark for mark in MARKS if mark in used_marks(overview)],
        citation=cite(study.name, study.manifest),
        settings=describe_settings(study),
        machine=machine_rows(study),
        command=command(manifest["words"]),
        summary=summarize_runs(study),
    )


def _headlines(
    study: StudyData,
    trainings: pd.DataFrame,
    tables: Tables,
    answer: RecipeReport | DependenceReport | None,
) -> list[str]:
    found = [FAILED] if tables.controls.failed else []
    found += [answer.headline] if answer else []
    found += [diagnosis_headline(study.diagnosis)] if study.diagnosis else []
    found += [f"{asked.capitalize()}: {answer}" for asked, answer in operation_sentences(tables)]
    if answers := count_answers(tables.claims):
        found.append(answers)
    elif study.manifest["request"]["matrix"] == "noise":
        found.append(noise_headline(tables.noise))
    elif not trainings.empty and study.diagnosis is None and answer is None:
        found.append(training_headline(study, trainings))
    return found or ["Nothing was compared."]


def _describe_evidence(table: pd.DataFrame, controls: Controls) -> str:
    """What a reader must know to weigh the map: how rare a difference may still be."""
    equal = table[table["verdict"] == Verdict.identical]
    parts = []
    if not equal.empty:
        fewest = int(equal["independent_runs"].min())
        bound = percent(divergence_rate_upper(fewest))
        parts.append(
            f"Where {fewest} runs agree, at most {bound} of fresh ones differ (95 % confidence)."
            if fewest >= FEW
            else f"{fewest} equal runs prove little: up to {bound} of fresh ones may differ (95 % "
            "confidence)."
        )
    if controls.twins:
        parts.append(f"Smallest detectable cost (80 % power): {_describe_detectable(controls)}.")
    return " ".join(parts)


def _asked_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """What a reader wants to know: no cell that varies on purpose, serves a claim or is a control.

    A control's setting counts if its training was asked for.
    """
    plain = cells[cells["noise"] == ""]
    asked = set(plain["scenario"][plain["role"].isin(ASKED)])
    is_control = (plain["role"] == "control") & plain["scenario"].isin(asked)
    return plain[plain["role"].isin(ASKED) | is_control]


def _merge_aliases(cells: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each experiment, named after all settings that are the same here."""
    scenarios = dict(zip(cells["cell"], cells["scenario"], strict=True))
    aliases: dict[str, list[str]] = {}
    for row in cells[cells["same_as"] != ""].to_dict("records"):
        elsewhere = row["scenario"] != scenarios[row["same_as"]]
        name = f"{row['scenario']} {row['determinism']}" if elsewhere else row["determinism"]
        aliases.setdefault(row["same_as"], []).append(name)
    measured = cells[cells["same_as"] == ""]
    names = [
        f"{setting} = {', '.join(aliases[cell])}" if cell in aliases else setting
        for cell, setting in zip(measured["cell"], measured["determinism"], strict=True)
    ]
    return measured.assign(determinism=names)


def _twin_row(twin: Twin) -> tuple[str, ...]:
    return (
        twin.cell,
        str(twin.plain.blocks),
        f"{twin.plain.point:.3f}",
        interval(twin.plain.low, twin.plain.high),
        interval(twin.simultaneous.low, twin.simultaneous.high),
        _size(twin.smallest_detectable),
        twin.check_label,
    )


def _describe_detectable(controls: Controls) -> str:
    if not controls.twins:
        return ""
    sizes = sorted(twin.smallest_detectable for twin in controls.twins)
    text = _size(sizes[len(sizes) // 2])
    if len(sizes) > 1:
        text += f" by the median twin ({_size(sizes[0])} to {_size(sizes[-1])})"
    return text


def _size(cost: float) -> str:
    return percent(cost) if cost < 1 else "over 100 %"


def _simultaneous_bound(table: pd.DataFrame) -> str:
    """One bound for all cells without a difference; empty if there are fewer than two.

    It counts every row whose runs were compared, since each could have shown no difference.
    """
    tested = sum(Verdict(verdict).is_tested for verdict in table["verdict"])
    rows = table[table["verdict"] == Verdict.identical]
    if len(rows) < 2:
        return ""
    bound = max(divergence_rate_upper(int(n), tested) for n in rows["independent_runs"])
    return (
        f"In each of the {len(rows)} rows without a difference, of {tested} tested, a fresh "
        f"process differs with probability at most {percent(bound)} (95 % upper bound for all "
        "together)."
    )
