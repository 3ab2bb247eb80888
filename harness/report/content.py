"""What the report says, in its order, as plain data for the pages and the terminal."""

from __future__ import annotations

import json
import shlex
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.analysis.claims.ruling import Answer
from harness.analysis.controls import Controls, Twin
from harness.analysis.study_data import CellData, StudyData
from harness.core.command_line import command
from harness.core.verdict import Verdict
from harness.report.caveats import Caveat, find_caveats
from harness.report.format import DASH, duration, figure, interval, is_known, percent
from harness.report.summary import sentences
from harness.report.tables import Tables

MATRIX_COLUMNS = (
    "scenario",
    "determinism",
    "runs",
    "verdict",
    "first parts at",
    "loss spread",
    "accuracy sd",
    "churn",
    "weights",
    "peak",
    "step",
    "cost",
    "",
)


NOISE_COLUMNS = (
    "scenario",
    "what varies",
    "runs",
    "loss sd",
    "accuracy sd",
    "95 % interval",
    "churn",
    "weights",
)
SOURCES = {
    "implementation": "the machine (seeds fixed, kernels free)",
    "algorithm": "the seed (kernels deterministic)",
    "both": "machine and seed",
    "bit_flip": "one bit of one initial weight",
    "tiny": "1e-8 on half of the initial weights",
}


@dataclass(frozen=True)
class MatrixRow:
    values: tuple[str, ...]  # one for each of MATRIX_COLUMNS
    verdict: str


@dataclass(frozen=True)
class ReportContent:
    title: str
    stamp: str  # "not for conclusions", or empty
    asked: str
    created: str
    sentences: list[tuple[str, str]]
    diagnosis: dict[str, Any] | None  # as diagnosis.json has it
    positive: tuple[str, str]  # control, sentence
    twins: list[tuple[str, ...]]
    smallest_detectable: str
    claims: list[dict[str, str]]  # rows of claims.csv
    answers: str  # how many of them hold, do not, are open
    noise: list[tuple[str, ...]]  # a row for each of NOISE_COLUMNS
    audit: list[dict[str, str]]  # rows of audit.csv
    lengths: list[dict[str, str]]  # rows of audit_lengths.csv
    matrix: list[MatrixRow]
    facts: list[tuple[str, str, list[tuple[str, str]]]]  # scenario, cell, what it tells
    warnings: list[Caveat]
    machine: list[tuple[str, str]]
    command: str
    summary: str


def build_content(study: StudyData, shown: pd.DataFrame, tables: Tables) -> ReportContent:
    """``shown`` is the cell table with labels."""
    manifest, checked = study.manifest, tables.controls
    experiments = _merge_aliases(shown)
    return ReportContent(
        title=study.name,
        stamp="not for conclusions" * manifest["request"]["not_for_conclusions"],
        asked=f"matrix {manifest['request']['matrix']}" if manifest["request"]["matrix"] else "",
        created=manifest["created"].replace("T", " ").replace("Z", " UTC"),
        sentences=sentences(experiments),
        diagnosis=study.diagnosis,
        positive=(str(checked.positive.control), checked.positive.sentence),
        twins=[_twin_row(twin) for twin in checked.twins],
        smallest_detectable=_describe_detectable(checked),
        claims=_string_rows(tables.claims),
        answers=_count_answers(tables.claims),
        noise=_noise_rows(tables.noise),
        audit=_string_rows(tables.audit),
        lengths=_string_rows(tables.lengths),
        matrix=_matrix_rows(experiments[~experiments["twin"]]),
        facts=[told for cell in study.cells if (told := _scenario_notes(cell))],
        warnings=find_caveats(study, checked),
        machine=machine_rows(study),
        command=command(manifest["words"]),
        summary=_summary(study),
    )


def _string_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    return [
        {str(key): str(value) for key, value in row.items()} for row in table.to_dict("records")
    ]


def add_labels(table: pd.DataFrame) -> pd.DataFrame:
    """The cell table with scenarios and settings named as people need them to tell rows apart."""
    rows = table.to_dict("records")
    several = len(set(table["device"])) > 1
    return table.assign(
        scenario=[_label(row, "scenario", [row["device"]] * several) for row in rows],
        determinism=_disambiguate(
            rows, [_label(row, "determinism", _noise_label(row)) for row in rows]
        ),
        is_baseline=table["cell"] == table["baseline"],
    )


def _label(row: dict[Hashable, Any], group: str, more: list[str]) -> str:
    """A scenario's or setting's name, with what was overridden of it."""
    words = shlex.split(row["overrides"])
    own = [word.removeprefix(f"{group}.") for word in words if word.startswith(f"{group}.")]
    return f"{row[group]} ({', '.join(own + more)})" if own + more else str(row[group])


def _noise_label(row: dict[Hashable, Any]) -> list[str]:
    return [f"noise={row['noise']}"] if row["noise"] else []


def _noise_rows(noise: pd.DataFrame) -> list[tuple[str, ...]]:
    rows = noise.to_dict("records")
    several = len({row["device"] for row in rows}) > 1
    return [_noise_row(row, several) for row in rows]


def _noise_row(row: dict[Hashable, Any], several_devices: bool) -> tuple[str, ...]:
    spread = (percent(row["accuracy_sd_low"]), percent(row["accuracy_sd_high"]))
    return (
        _label(row, "scenario", [row["device"]] * several_devices),
        SOURCES[row["noise"]],
        str(row["trace_runs"]),
        percent(row["loss_sd_rel"]),
        percent(row["accuracy_sd"]),
        f"{spread[0]} – {spread[1]}" if is_known(row["accuracy_sd"]) else DASH,
        percent(row["churn"]),
        figure(row["weight_rel_l2"], 2),
    )


def _disambiguate(rows: list[dict[Hashable, Any]], names: list[str]) -> list[str]:
    """The names, with the cell's hash where two cells would else have one: scrubbed overrides."""
    cells: dict[tuple[Any, str], set[str]] = {}
    for row, name in zip(rows, names, strict=True):
        cells.setdefault((_label(row, "scenario", [row["device"]]), name), set()).add(row["cell"])
    alike = {cell for found in cells.values() if len(found) > 1 for cell in found}
    return [
        f"{name} [{row['cell'].rpartition('-')[2]}]" if row["cell"] in alike else name
        for row, name in zip(rows, names, strict=True)
    ]


def _count_answers(claims: pd.DataFrame) -> str:
    if claims.empty:
        return ""
    told = claims["answer"].tolist()
    holds, fails, unknown = (
        told.count(str(one)) for one in (Answer.holds, Answer.fails, Answer.open)
    )
    return f"{holds} hold here, {fails} do not, {unknown} cannot be decided here"


def _merge_aliases(shown: pd.DataFrame) -> pd.DataFrame:
    """A row for each experiment, named by all settings that are the same experiment here."""
    scenarios = dict(zip(shown["cell"], shown["scenario"], strict=True))
    others: dict[str, list[str]] = {}
    for row in shown[shown["same_as"] != ""].to_dict("records"):
        elsewhere = row["scenario"] != scenarios[row["same_as"]]
        name = f"{row['scenario']} {row['determinism']}" if elsewhere else row["determinism"]
        others.setdefault(row["same_as"], []).append(name)
    own = shown[shown["same_as"] == ""]
    names = [
        " = ".join([setting, *filter(None, [", ".join(others.get(cell, []))])])
        for cell, setting in zip(own["cell"], own["determinism"], strict=True)
    ]
    return own.assign(determinism=names)


def _summary(study: StudyData) -> str:
    wall = sum(run.wall_s or 0 for run in study.runs)
    return (
        f"{len(study.runs)} runs of {len(study.cells)} cells, each in a fresh process; "
        f"{duration(wall)} of training and evaluation"
    )


def _twin_row(twin: Twin) -> tuple[str, ...]:
    return (
        twin.cell,
        str(twin.plain.blocks),
        f"{twin.plain.point:.3f}",
        interval(twin.plain.low, twin.plain.high),
        interval(twin.simultaneous.low, twin.simultaneous.high),
        twin.check_label,
    )


def _describe_detectable(checked: Controls) -> str:
    if not checked.twins:
        return ""
    best = min(checked.twins, key=lambda twin: twin.smallest_detectable)
    worst = max(checked.twins, key=lambda twin: twin.smallest_detectable)
    text = f"{percent(best.smallest_detectable)} for {best.cell}"
    if worst is not best:
        text += f", {percent(worst.smallest_detectable)} for {worst.cell}"
    return text


def _matrix_rows(table: pd.DataFrame) -> list[MatrixRow]:
    rows = table.to_dict("records")
    return [_matrix_row({str(key): value for key, value in row.items()}) for row in rows]


def _matrix_row(row: dict[str, Any]) -> MatrixRow:
    identical = row["verdict"] == Verdict.identical
    values = (
        row["scenario"],
        row["determinism"],
        f"{row['trace_runs']} × {row['repeats']}" if row["trace_runs"] else DASH,
        row["verdict"] if not identical or row["trace_runs"] >= 30 else "no difference seen",
        _format_divergence(row),
        percent(row["loss_spread"]),
        percent(row["accuracy_sd"]),
        percent(row["churn"]),
        _format_weights(row),
        f"{figure(row['peak_mb'])} MB" if is_known(row["peak_mb"]) else DASH,
        f"{figure(row['step_ms'])} ms" if is_known(row["step_ms"]) else DASH,
        _format_cost(row, identical),
        row["cost"] if identical and not row["is_baseline"] else "",
    )
    return MatrixRow(values, row["verdict"])


def _format_divergence(row: dict[str, Any]) -> str:
    """Step and component; step 0 is the state before the first step."""
    if not is_known(row["first_step"]):
        return DASH
    step = int(row["first_step"])
    return "before step 1" if step == 0 else f"step {step}, {row['first_component']}"


def _format_weights(row: dict[str, Any]) -> str:
    """Distance of final parameters; exactly 0 means the same bits."""
    known = is_known(row["weight_rel_l2"])
    return figure(row["weight_rel_l2"], 2) if known else DASH


def _format_cost(row: dict[str, Any], identical: bool) -> str:
    """Only quoted where training is identical: elsewhere it would be the price of nothing."""
    if row["is_baseline"]:
        return "1 (baseline)"
    if not identical or not is_known(row["cost_ratio"]):
        return DASH
    return f"{row['cost_ratio']:.3f} ({interval(row['cost_low'], row['cost_high'])})"


def _scenario_notes(cell: CellData) -> tuple[str, str, list[tuple[str, str]]] | None:
    """What a training says of itself, of a timing run where there is one: it was not watched."""
    if cell.same_as:
        return None
    told = next((run.timed.facts for run in cell.timings if run.timed), {})
    told = told or next((repeat.facts for _, repeat in cell.trainings()), {})
    lines = [(key, _format_value(value)) for key, value in told.items()]
    return (cell.cell.scenario.label, cell.cell.setting, lines) if lines else None


def _format_value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_format_value(one)}" for key, one in value.items())
    if isinstance(value, list):
        return "; ".join(_format_value(one) for one in value)
    if isinstance(value, float):
        return figure(value)
    if isinstance(value, str) and len(value) == 32:  # a digest
        return value[:8]
    return str(value) if not isinstance(value, bool) else json.dumps(value)


def machine_rows(study: StudyData) -> list[tuple[str, str]]:
    found = study.manifest
    rows = {**found["machine"], **found["software"]}
    for index, device in enumerate(found["cuda"]):
        rows[f"cuda:{index}"] = _format_value(device)
    return [(key.replace("_", " "), str(value)) for key, value in rows.items() if value is not None]
