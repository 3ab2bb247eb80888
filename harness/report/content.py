"""The content of the report, in its order, as plain data for the pages and the terminal."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.analysis.claims.ruling import Answer
from harness.analysis.controls import Controls, Twin
from harness.analysis.study_data import CellData, StudyData
from harness.core.binomial import divergence_rate_upper
from harness.core.command_line import command
from harness.core.verdict import Verdict
from harness.report.caveats import Caveat, find_caveats
from harness.report.cell_panels import CellPanel, build_panels
from harness.report.format import DASH, figure, interval, is_known, percent, plural
from harness.report.headline import diagnosis_headline, noise_headline, training_headline
from harness.report.labels import scenario_labels
from harness.report.lights import Light, control_lights
from harness.report.matrix_rows import MatrixRow, format_agreement, matrix_rows, with_detail
from harness.report.operations import operation_cells, operation_sentences
from harness.report.overview import MARKS, Mark, Overview, build_overview, switches_set, used_marks
from harness.report.run_counts import describe_stops, summarize_runs
from harness.report.summary import sentences
from harness.report.tables import Tables

SOURCES = {
    "implementation": "the machine (fixed seeds, any kernels)",
    "algorithm": "the seed (deterministic kernels)",
    "both": "the machine and the seed",
    "bit_flip": "one bit of one initial weight",
    "tiny": "noise of 1e-8 on half of the initial weights",
}


ASKED = ("asked", "baseline")  # roles of cells that a reader wants to know about
FAILED = "A control of this study failed: do not trust its numbers."
ANSWERS = (Answer.fails, Answer.open, Answer.holds)  # in the order of a reader's interest


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
    positive: tuple[str, str]  # control, sentence
    twins: list[tuple[str, ...]]  # rows by legend.TWINS
    smallest_detectable: str
    claims: list[dict[str, str]]  # rows of claims.csv
    answers: str  # how many claims hold, do not hold, and are open
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
    trainings = experiments[~experiments["cell"].isin(apart) & ~experiments["twin"]]
    asked = _asked_cells(cells[~cells["cell"].isin(apart) & ~cells["twin"]])
    matrix = matrix_rows(trainings)
    warnings, overview = find_caveats(study, controls), build_overview(study, asked)
    return ReportContent(
        title=study.name,
        headlines=_headlines(study, asked, tables),
        where=_describe_place(study),
        lights=control_lights(controls),
        overview=overview if study.diagnosis is None else Overview([], []),
        evidence=_describe_evidence(experiments, controls),
        panels=build_panels(study, trainings, matrix),
        stamp="not for conclusions" * manifest["request"]["not_for_conclusions"],
        asked=f"matrix={manifest['request']['matrix']}" if manifest["request"]["matrix"] else "",
        created=manifest["created"].replace("T", " ").replace("Z", " UTC"),
        sentences=[*operation_sentences(tables), *sentences(trainings)],
        diagnosis=study.diagnosis,
        positive=(str(controls.positive.control), controls.positive.sentence),
        twins=[_twin_row(twin) for twin in controls.twins],
        smallest_detectable=_describe_detectable(controls),
        claims=sorted(_string_rows(tables.claims), key=_answer_order),
        answers=_count_answers(tables.claims),
        noise=_noise_rows(study, tables.noise),
        audit=sorted(_string_rows(tables.audit), key=_is_ordinary),
        lengths=_string_rows(tables.lengths),
        first_calls=_first_calls_rows(tables.first_calls),
        matrix=matrix,
        together=_simultaneous_bound(trainings),
        stopped=describe_stops(study),
        facts=[
            notes
            for cell in study.cells
            if cell.id not in apart and (notes := _scenario_notes(cell))
        ],
        warnings=warnings,
        important=[warning for warning in warnings if not warning.is_note],
        marks=[mark for mark in MARKS if mark in used_marks(overview)],
        citation=_cite(study),
        settings=_describe_settings(study),
        machine=machine_rows(study),
        command=command(manifest["words"]),
        summary=summarize_runs(study),
    )


def _headlines(study: StudyData, trainings: pd.DataFrame, tables: Tables) -> list[str]:
    found = [FAILED] if tables.controls.failed else []
    found += [diagnosis_headline(study.diagnosis)] if study.diagnosis else []
    found += [f"{asked.capitalize()}: {answer}" for asked, answer in operation_sentences(tables)]
    if answers := _count_answers(tables.claims):
        found.append(answers)
    elif study.manifest["request"]["matrix"] == "noise":
        found.append(noise_headline(tables.noise))
    elif not trainings.empty and study.diagnosis is None:
        found.append(training_headline(study, trainings))
    return found or ["Nothing was compared."]


def _describe_place(study: StudyData) -> str:
    machine, cuda = study.manifest["machine"], study.manifest["cuda"]
    on_cuda = any(cell.cell.device.startswith("cuda") for cell in study.cells)
    processor = f"{machine['cpu']}, {machine['usable_cores']} cores"
    device = cuda[0]["name"] if on_cuda and cuda else processor
    return f"PyTorch {study.manifest['software']['torch']} on {device}"


def _describe_evidence(table: pd.DataFrame, controls: Controls) -> str:
    """What a reader must know to weigh the map: how rare a difference may still be."""
    equal = table[table["verdict"] == Verdict.identical]
    parts = []
    if not equal.empty:
        fewest = int(equal["independent_runs"].min())
        parts.append(
            f"Where {fewest} runs agree, at most {percent(divergence_rate_upper(fewest))} of fresh "
            "ones differ (95 % confidence)."
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


def _describe_settings(study: StudyData) -> list[tuple[str, str]]:
    settings = {cell.cell.setting: cell.cell.determinism for cell in study.cells}
    described = []
    for name, setting in settings.items():
        switches = setting.switches()
        turned = [f"{switch}={switches[switch]}" for switch in sorted(switches_set(setting))]
        described.append((name, ", ".join(turned) or "nothing"))
    return described


def _cite(study: StudyData) -> str:
    """Everything that finds the study again: its id, the version that ran it, and when."""
    manifest = study.manifest
    return (
        f"Determinism Benchmark Harness {manifest['harness']} ({manifest['machine']['git']}), "
        f"study {study.name}, {manifest['created'][:10]}, {_describe_place(study)}."
    )


def _string_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    return [
        {str(key): str(value) for key, value in row.items()} for row in table.to_dict("records")
    ]


def _answer_order(claim: dict[str, str]) -> int:
    return ANSWERS.index(Answer(claim["answer"]))


def _is_ordinary(row: dict[str, str]) -> tuple[bool, bool]:
    """Sorts operations that vary, and those with a contradiction, before the others."""
    return "varies" not in row["bits"], not row["disagree"]


def _first_calls_rows(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """The operations that are hit; the others have no row of their own in the report."""
    return [
        (
            row["operation"],
            row["determinism"],
            str(row["threads"]),
            f"{row['differ']} of {row['processes']}",
            f"{percent(row['rate_low'])} – {percent(row['rate_high'])}",
            percent(row["elements"]),
            f"{row['max_ulp']:,}",
        )
        for row in table.to_dict("records")
        if row["differ"]
    ]


def _noise_rows(study: StudyData, noise: pd.DataFrame) -> list[tuple[str, ...]]:
    rows = noise.to_dict("records")
    return [
        _noise_row(row, name) for row, name in zip(rows, scenario_labels(study, rows), strict=True)
    ]


def _noise_row(row: dict[Hashable, Any], name: str) -> tuple[str, ...]:
    spread = (percent(row["accuracy_sd_low"]), percent(row["accuracy_sd_high"]))
    return (
        name,
        SOURCES[row["noise"]],
        format_agreement(row),
        figure(row["steps"]),
        with_detail(figure(row["loss_mean"]), "sd", percent(row["loss_sd_rel"])),
        percent(row["accuracy_mean"], 3),
        percent(row["accuracy_sd"]),
        f"{spread[0]} – {spread[1]}" if is_known(row["accuracy_sd_low"]) else DASH,
        percent(row["churn"]),
        figure(row["weight_rel_l2"], 2),
    )


def _count_answers(claims: pd.DataFrame) -> str:
    """Count published sentences, not rows: a sentence about 18 operations is one claim.

    A sentence of several rows fails if one does, and holds if all do.
    """
    if claims.empty:
        return ""
    published = claims[~claims["own"]]
    answers = Counter(
        next(
            (answer for answer in (Answer.fails, Answer.open) if answer in set(rows)), Answer.holds
        )
        for _, rows in published.groupby("sentence")["answer"]
    )
    text = (
        f"{plural(answers.total(), 'published claim')} from "
        f"{plural(published['source'].nunique(), 'write-up')}: {answers[Answer.holds]} hold here, "
        f"{answers[Answer.fails]} do not, {answers[Answer.open]} cannot be decided here."
    )
    own = int(claims["own"].sum())
    return f"{text} {plural(own, 'further row')} are our own variants and answers." if own else text


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
        percent(twin.smallest_detectable),
        twin.check_label,
    )


def _describe_detectable(controls: Controls) -> str:
    if not controls.twins:
        return ""
    sizes = sorted(twin.smallest_detectable for twin in controls.twins)
    text = percent(sizes[len(sizes) // 2])
    if len(sizes) > 1:
        text += f" by the median twin ({percent(sizes[0])} to {percent(sizes[-1])})"
    return text


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


def _scenario_notes(cell: CellData) -> tuple[str, str, list[tuple[str, str]]] | None:
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


def machine_rows(study: StudyData) -> list[tuple[str, str]]:
    manifest = study.manifest
    rows = {**manifest["machine"], **manifest["software"]}
    for index, device in enumerate(manifest["cuda"]):
        rows[f"cuda:{index}"] = _format_value(device)
    return [(key.replace("_", " "), str(value)) for key, value in rows.items() if value is not None]
