"""Recomputes the numbers of the README and of the findings from published records.

`make verify-figures` makes every study's tables again from its records, fills each sentence below
with their numbers, and looks for it on the page. It fails if a page says anything else, does not
name the study, or has a number that is in no sentence.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from harness.analysis.first_calls import clopper_pearson
from harness.analysis.study_data import StudyData, read_study
from harness.core.binomial import divergence_rate_upper
from harness.core.spec import Noise
from harness.core.verdict import judge
from harness.report.content import ReportContent, build_content
from harness.report.format import interval, percent
from harness.report.labels import add_labels
from harness.report.matrix_rows import format_agreement
from harness.report.tables import Tables

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
PUBLISHED = ROOT / "results" / "published"

README = ROOT / "README.md"
TRANSLATION = ROOT / "README.zh-CN.md"
RACE = DOCS / "findings" / "mkl-first-call.md"
H100 = DOCS / "findings" / "h100.md"
RACE_RECORD = DOCS / "findings" / "mkl-first-call.json"
PAGES = (README, *sorted((DOCS / "findings").glob("*.md")))

CLAIMS_OLD = "20261121-093041-20-scenarios-f466"
NOISE_OLD = "20261121-095503-4-scenarios-d7a0"
FIRST_CALLS_AMD = "20261126-034649-first_op-6edf"
AUDIT_CPU = "20261126-030725-2-scenarios-bb45"
EXAMPLE = "20261126-025642-2-scenarios-94a2"
EXAMPLE_DIAGNOSIS = "20261126-025857-script-9410"
AUDIT_H100 = "20261126-012902-audit-h100"
BITS_H100 = "20261126-012850-6-scenarios-h100"
COST_H100 = "20261126-013416-4-scenarios-h100"
RESNET_H100 = "20261126-012847-resnet-h100"

# What stands on a page and is not measured: versions, names, numbers of issues, hardware.
NOT_MEASURED = (
    r"Python 3\.11(, |、)3\.12( or |、)3\.13",
    r"CC BY 4\.0",
    r"torch 2\.\d+(\.\d)?(\+\w+)?",
    r"(pytorch|PyTorch) issues? \d+|in \d{6}",
    r"float(16|32|64)|bfloat16|AVX2|AVX-512|x86|H100|ResNet-18|\(80 GB\)",
    r"(2,048|4,096) elements",  # read in the source of torch
    r"95 % intervals allow|90 秒",
)
COMMAND = re.compile(r"\s*(make|python|determinism-harness|from|git|pip)\b")


@dataclass(frozen=True)
class Sentence:
    """A part of a page, with recomputed numbers, and the study or record that it rests on."""

    page: Path
    source: str
    text: str


@dataclass(frozen=True)
class Study:
    data: StudyData
    tables: Tables
    content: ReportContent

    def cell(self, scenario: str, setting: str) -> dict[str, Any]:
        """The row of the cell table; raises ValueError unless there is exactly one."""
        table = self.tables.cells
        (row,) = table[
            (table["scenario"] == scenario) & (table["determinism"] == setting) & ~table["twin"]
        ].to_dict("records")
        return {str(key): value for key, value in row.items()}

    def cost(self, scenario: str, setting: str) -> str:
        row = self.cell(scenario, setting)
        return f"{row['cost_ratio']:.3f} ({interval(row['cost_low'], row['cost_high'])})"


@cache
def study(name: str) -> Study:
    """A published study, made again from its records."""
    data = read_study(PUBLISHED / name)
    tables = Tables.of(data)
    return Study(data, tables, build_content(data, add_labels(data, tables.cells), tables))


def varying(table: pd.DataFrame, column: str) -> list[str]:
    rows = table[table[column].str.startswith(("varies", "rarely"))]
    return list(rows["operation"])


SECTIONS: list[Callable[[], Iterator[Sentence]]] = []


def section(function: Callable[[], Iterator[Sentence]]) -> Callable[[], Iterator[Sentence]]:
    SECTIONS.append(function)
    return function


@section
def example_of_the_readme() -> Iterator[Sentence]:
    """What a study and a diagnosis of docs/example/train.py print."""
    (name, text), *_ = study(EXAMPLE).content.sentences
    yield Sentence(README, EXAMPLE, f"{name}: {text}")
    diagnosis = study(EXAMPLE_DIAGNOSIS).data.diagnosis
    assert diagnosis is not None
    text, _, _ = diagnosis["paragraph"].partition(" determinism.cublas_workspace")
    yield Sentence(README, EXAMPLE_DIAGNOSIS, text)


@section
def bits_of_the_h100() -> Iterator[Sentence]:
    """Which trainings vary on an H100, under four settings."""
    bits = study(BITS_H100)
    for scenario in ("mlp", "cnn", "resnet", "upsample", "loader", "indexing"):
        cells = [bits.cell(scenario, each) for each in ("seed", "benchmark", "cudnn", "full")]
        counts = " | ".join(format_agreement(cell) for cell in cells)
        yield Sentence(H100, BITS_H100, f"| `{scenario}` | {counts} |")
    recorded = f"{len(bits.data.runs)} of {bits.data.planned} planned runs"
    yield Sentence(H100, BITS_H100, recorded)
    resnet = bits.cell("resnet", "seed")
    assert (resnet["first_step"], resnet["first_component"]) == (1, "grads")
    yield Sentence(H100, BITS_H100, f"After {resnet['steps']:.0f} steps with the same seed")
    yield Sentence(
        H100,
        BITS_H100,
        f"differ in {percent(resnet['churn'])} of the classes that they predict, and their"
        f" accuracy, {percent(resnet['accuracy_mean'], 3)} on average, has a standard deviation of"
        f" {100 * resnet['accuracy_sd']:.1f} points",
    )
    bound = percent(divergence_rate_upper(4))
    weak = f'"0 of 4" means that another run differs with a probability of at most {bound}'
    yield Sentence(H100, BITS_H100, weak)
    churn = f"predict other classes for {percent(resnet['churn'])} of the images"
    yield Sentence(README, BITS_H100, churn)


@section
def origin_on_the_h100() -> Iterator[Sentence]:
    """The operation that `diagnose` blames for the divergence of ResNet-18 on an H100."""
    diagnosis = study(RESNET_H100).data.diagnosis
    assert diagnosis is not None
    assert "aten.convolution_backward.default" in diagnosis["paragraph"]
    sizes = r"[\d,]+ of [\d,]+ elements differ, by at most [\d,]+ ulp"
    for pattern in (r"in \d of \d comparisons", sizes):
        found = re.search(pattern, diagnosis["paragraph"])
        assert found is not None
        yield Sentence(H100, RESNET_H100, found[0])


@section
def costs_on_the_h100() -> Iterator[Sentence]:
    """What `cudnn` and `full` cost on an H100."""
    costs = study(COST_H100)
    for scenario in ("mlp", "cnn", "resnet", "indexing"):
        cudnn = costs.cost(scenario, "cudnn") if scenario != "indexing" else "varies"
        row = f"| `{scenario}` | {cudnn} | {costs.cost(scenario, 'full')} |"
        yield Sentence(H100, COST_H100, row)
    blocks = {twin.plain.blocks for twin in costs.tables.controls.twins}
    yield Sentence(H100, COST_H100, f"over {blocks.pop()} blocks")
    text = f"{costs.cost('resnet', 'full')} times the time per step"
    yield Sentence(README, COST_H100, text)


@section
def audit_of_the_h100() -> Iterator[Sentence]:
    """How many operations vary on an H100, and how many are refused."""
    table = study(AUDIT_H100).tables.audit
    seeds, full = varying(table, "bits"), varying(table, "bits_full")
    refused = (table["alert"] == "refuses").sum()
    assert not full
    text = (
        f"{len(seeds)} of {len(table)} operations vary with seeds alone, none under deterministic"
        f" algorithms, which refuse {refused}"
    )
    yield Sentence(H100, AUDIT_H100, text)
    yield Sentence(README, AUDIT_H100, text)


@section
def symptom_of_the_race() -> Iterator[Sentence]:
    """How many seeded processes of the first studies ended with other bits."""
    agreements = [
        judge(cell.traces).agreement
        for name in (CLAIMS_OLD, NOISE_OLD)
        for cell in study(name).data.cells
        if cell.cell.scenario.label in ("mlp_digits", "augmentation")
        and (cell.cell.setting, cell.cell.noise, cell.same_as) == ("seed", Noise.none, None)
    ]
    differ = sum(agreement.differing for agreement in agreements)
    processes = sum(agreement.processes for agreement in agreements)
    low, high = clopper_pearson(differ, processes)
    text = f"In {differ} of {processes} processes"
    yield Sentence(
        RACE,
        CLAIMS_OLD,
        f"{text} ({percent(differ / processes)}, 95 % interval {100 * low:.2g}–{percent(high)})",
    )
    yield Sentence(RACE, NOISE_OLD, text)
    yield Sentence(README, CLAIMS_OLD, f"in {differ} of {processes} processes")


@section
def record_of_the_race() -> Iterator[Sentence]:
    """What the reproducer counted."""
    record = json.loads(RACE_RECORD.read_text(encoding="utf-8"))
    for machine in record["machines"]:
        for optimizer, width, way, differ, processes in machine["rows"]:
            case = f"{optimizer}, {way}" if way else optimizer
            yield Sentence(RACE, RACE_RECORD.name, f"| {case} | {differ} of {processes:,} |")
            yield Sentence(RACE, RACE_RECORD.name, f"two steps of a {width}-wide net")
        yield Sentence(RACE, RACE_RECORD.name, f"{machine['machine']}, torch {machine['torch']}")
    (_, differ, processes), (_, warm, warmed) = record["sqrt"]["rows"]
    yield Sentence(RACE, RACE_RECORD.name, f"differs in {differ} of {processes:,} processes")
    yield Sentence(RACE, RACE_RECORD.name, f"`torch.ones(1).exp()` in {warm} of {warmed:,}")
    size = f"off by up to about {round(record['sqrt']['max_ulp'], -3):,} ulp"
    yield Sentence(RACE, RACE_RECORD.name, size)
    counts = [f"{name} in {k} of {n:,}" for name, k, n in record["mkl"]["rows"]]
    first = counts[0].replace(" in ", " differed in ") + " processes"
    yield Sentence(RACE, RACE_RECORD.name, f"{first}, {counts[1]}, and {counts[2]}")


@section
def first_calls_on_another_cpu() -> Iterator[Sentence]:
    """The machine on which the race was looked for and not seen."""
    table = study(FIRST_CALLS_AMD).tables.first_calls
    assert {"sqrt", "exp", "log", "sin", "cos", "tanh", "erf"} <= set(table["operation"])
    assert not table["differ"].any()
    text = f"none in {table['processes'].min()} processes for each of {len(table)} operations"
    yield Sentence(RACE, FIRST_CALLS_AMD, text)


@section
def audit_of_a_cpu() -> Iterator[Sentence]:
    """How many operations vary on a CPU."""
    table = study(AUDIT_CPU).tables.audit
    seeds = varying(table, "bits")
    assert sorted(seeds) == ["index", "index_put", "put", "take"]
    yield Sentence(README, AUDIT_CPU, f"{len(seeds)} of {len(table)} operations vary on a CPU")


def check() -> list[str]:
    """What is wrong with the pages; empty if every number is recomputed."""
    sentences = [sentence for make in SECTIONS for sentence in make()]
    faults = []
    for sentence in sentences:
        page = sentence.page.read_text(encoding="utf-8")
        name = sentence.page.relative_to(ROOT)
        if _words(sentence.text) not in _words(page):
            faults.append(f"{name} does not say, as {sentence.source} does: {sentence.text}")
        if sentence.source not in page:
            faults.append(f"{name} does not name its source {sentence.source}")
    for path in PAGES:
        own = [sentence.text for sentence in sentences if sentence.page == path]
        faults += [
            f"{path.relative_to(ROOT)} has a number that nothing recomputes: {line}"
            for line in uncovered(path.read_text(encoding="utf-8"), own)
        ]
    original = set(_numbers(README.read_text(encoding="utf-8")))
    return faults + [
        f"{TRANSLATION.name} has a number that {README.name} lacks: {number}"
        for number in _numbers(TRANSLATION.read_text(encoding="utf-8"))
        if number not in original
    ]


def uncovered(page: str, sentences: list[str]) -> Iterator[str]:
    """Yield what surrounds each number of a page that is neither recomputed nor a known name."""
    text = _words(_prose(page))
    for sentence in sorted(sentences, key=len, reverse=True):
        text = text.replace(_words(_prose(sentence)), " … ")
    for pattern in NOT_MEASURED:
        text = re.sub(pattern, " … ", text)
    for match in re.finditer(r"\d[\d,.]*", text):
        yield text[max(0, match.start() - 40) : match.end() + 30]


def _prose(page: str) -> str:
    """A page without commands, targets of links, and names in code."""

    def keep(fence: re.Match[str]) -> str:
        return "" if COMMAND.match(fence[1]) else fence[1]

    page = re.sub(r"```\w*\n(.*?)```", keep, page, flags=re.DOTALL)
    page = re.sub(r"\]\([^)]*\)", "]", page)
    return re.sub(r"`[^`]*`", lambda code: re.sub(r"\d", "", code[0]), page)


def _numbers(page: str) -> list[str]:
    text = _prose(page)
    for pattern in NOT_MEASURED:
        text = re.sub(pattern, " ", text)
    return re.findall(r"\d[\d,.]*\d|\d", text)


def _words(text: str) -> str:
    return " ".join(text.split())


def main() -> int:
    faults = check()
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        print("every number of the README and of docs/findings/ was recomputed from its records")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
