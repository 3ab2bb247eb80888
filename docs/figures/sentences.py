"""The sentences that pages owe to published records, filled with recomputed numbers."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import scipy

from docs.figures.studies import (
    AUDIT_CPU,
    AUDIT_H100,
    BITS_H100,
    CLAIMS,
    CLAIMS_OLD,
    COST_H100,
    EXAMPLE,
    EXAMPLE_DIAGNOSIS,
    EXAMPLE_RECIPE,
    FIRST_CALLS_AMD,
    FIRST_CALLS_INTEL,
    NOISE,
    NOISE_OLD,
    PERTURB_H100,
    PUBLISH_MIXED,
    PUBLISH_SPAWNED,
    RESNET_H100,
    TURNS_H100,
    study,
    varying,
)
from harness.core.binomial import divergence_rate_upper
from harness.core.spec import Noise
from harness.core.verdict import judge
from harness.report.content.matrix_rows import format_agreement
from harness.report.format import figure, percent
from harness.report.pages.terminal import print_summary

DOCS = Path(__file__).resolve().parents[1]
README = DOCS.parent / "README.md"
RACE = DOCS / "findings" / "mkl-first-call.md"
H100 = DOCS / "findings" / "h100.md"
SETTINGS = DOCS / "settings.md"
OVERHEAD = DOCS / "overhead.md"
CLAIMS_PAGE = DOCS / "claims.md"
RACE_RECORD = DOCS / "findings" / "mkl-first-call.json"


@dataclass(frozen=True)
class Sentence:
    """A part of a page, with recomputed numbers, and the study or record that it rests on."""

    page: Path
    source: str
    text: str


def example_of_the_readme() -> Iterator[Sentence]:
    """What a study and a diagnosis of docs/example/train.py print."""
    printed = io.StringIO()
    print_summary(study(EXAMPLE).content, [], [], printed)
    table_and_headline, _, _ = printed.getvalue().partition("✓")
    yield Sentence(README, EXAMPLE, table_and_headline)
    runs = study(EXAMPLE).cell("script", "full")["independent_runs"]
    bound = percent(divergence_rate_upper(runs))
    text = f"up to {bound} of fresh runs may still differ, at 95 % confidence"
    yield Sentence(README, EXAMPLE, text)
    diagnosis = study(EXAMPLE_DIAGNOSIS).data.diagnosis
    assert diagnosis is not None
    where, _, rest = diagnosis["paragraph"].partition(" (in ")
    _, _, remedy = rest.partition("Fault: ")
    yield Sentence(README, EXAMPLE_DIAGNOSIS, where[where.index("Origin: ") :])
    text, _, _ = remedy.partition(" determinism.cublas_workspace")
    yield Sentence(README, EXAMPLE_DIAGNOSIS, text)
    recipe = study(EXAMPLE_RECIPE).content.recipe
    assert recipe is not None
    text, _, _ = recipe.headline.replace("`", "").partition(" A step")
    yield Sentence(README, EXAMPLE_RECIPE, text)
    operation, _, _ = recipe.sentences[0].replace("`", "").partition(" A step")
    yield Sentence(README, EXAMPLE_RECIPE, operation)


def bits_of_the_h100() -> Iterator[Sentence]:
    """Which trainings vary on an H100, under four settings."""
    bits = study(BITS_H100)
    for scenario in ("mlp", "cnn", "resnet", "upsample", "loader", "indexing"):
        cells = [bits.cell(scenario, each) for each in ("seed", "benchmark", "cudnn", "full")]
        counts = " | ".join(format_agreement(cell) for cell in cells)
        yield Sentence(H100, BITS_H100, f"| `{scenario}` | {counts} |")
    recorded = f"{bits.data.planned - bits.data.unfinished} of {bits.data.planned} planned runs"
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
    churn = f"disagree on the class of {percent(resnet['churn'])} of the images"
    yield Sentence(README, BITS_H100, churn)


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


def costs_on_the_h100() -> Iterator[Sentence]:
    """What `cudnn` and `full` cost on an H100."""
    costs = study(COST_H100)
    for scenario in ("mlp", "cnn", "resnet", "indexing"):
        cudnn = costs.cost(scenario, "cudnn") if scenario != "indexing" else "varies"
        row = f"| `{scenario}` | {cudnn} | {costs.cost(scenario, 'full')} |"
        yield Sentence(H100, COST_H100, row)
    blocks = {twin.plain.blocks for twin in costs.tables.controls.twins}
    yield Sentence(H100, COST_H100, f"over {blocks.pop()} blocks")
    yield Sentence(README, COST_H100, f"a step takes {costs.cost('resnet', 'full')} times as long")
    turns = study(TURNS_H100)
    words = "of `resnet` costs"
    yield Sentence(H100, TURNS_H100, f"`cudnn` {words} {turns.cost('resnet', 'cudnn')}")
    yield Sentence(H100, TURNS_H100, f"`full` {turns.cost('resnet', 'full')}")


def audit_of_the_h100() -> Iterator[Sentence]:
    """How many operations vary on an H100, and how many are refused."""
    table = study(AUDIT_H100).tables.audit
    seeds, full = varying(table, "bits"), varying(table, "bits_full")
    refused = (table["alert"] == "refuses").sum()
    assert not full
    seeded = f"{len(seeds)} of {len(table)} operations vary with seeds alone"
    text = f"{seeded}, none under deterministic algorithms, which refuse {refused}"
    yield Sentence(H100, AUDIT_H100, text)
    yield Sentence(README, AUDIT_H100, seeded)
    yield Sentence(README, AUDIT_H100, f"and {refused} are refused")


def dependence_on_the_h100() -> Iterator[Sentence]:
    """What the bits of `cnn` depend on, on an H100."""
    found = study(PERTURB_H100).content.dependence
    assert found is not None
    (row,) = [row for row in found.rows if row[0].endswith("(cublas_workspace)")]
    yield Sentence(H100, PERTURB_H100, f"{row[2]}, from {row[3]}")


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
    interval = scipy.stats.binomtest(differ, processes).proportion_ci(0.95)
    text = f"In {differ} of {processes} processes"
    yield Sentence(
        RACE,
        CLAIMS_OLD,
        f"{text} ({percent(differ / processes)}, 95 % interval"
        f" {100 * interval.low:.2g}–{percent(interval.high)})",
    )
    yield Sentence(RACE, NOISE_OLD, text)
    for source in (CLAIMS_OLD, NOISE_OLD):
        yield Sentence(README, source, f"in {differ} of {processes} processes")


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


def first_calls_on_an_intel_cpu() -> Iterator[Sentence]:
    """The operations whose first call differs where the race was found."""
    read = study(FIRST_CALLS_INTEL)
    table = read.tables.first_calls
    hit = table[table["differ"] > 0]
    (processes,) = set(table["processes"])
    text = f"in {len(hit)} of {len(table)} operations, in {processes} processes each"
    yield Sentence(RACE, FIRST_CALLS_INTEL, text)
    missing = f"before {read.data.unfinished} of {read.data.planned} were tried"
    yield Sentence(RACE, FIRST_CALLS_INTEL, missing)
    raced = hit[~hit["operation"].isin(["index_put", "put"])]
    yield Sentence(RACE, FIRST_CALLS_INTEL, f"The other {len(raced)} are among")
    for differ, rows in raced.groupby("differ"):
        names = ", ".join(f"`{name}`" for name in rows["operation"])
        yield Sentence(RACE, FIRST_CALLS_INTEL, f"| {names} | {differ} of {processes} |")


def first_calls_on_another_cpu() -> Iterator[Sentence]:
    """The machine on which the race was looked for and not seen."""
    table = study(FIRST_CALLS_AMD).tables.first_calls
    assert {"sqrt", "exp", "log", "sin", "cos", "tanh", "erf"} <= set(table["operation"])
    assert not table["differ"].any()
    text = f"none in {table['processes'].min()} processes for each of {len(table)} operations"
    yield Sentence(RACE, FIRST_CALLS_AMD, text)


def audit_of_a_cpu() -> Iterator[Sentence]:
    """How many operations vary on a CPU."""
    table = study(AUDIT_CPU).tables.audit
    seeds = varying(table, "bits")
    assert sorted(seeds) == ["index", "index_put", "put", "take"]
    yield Sentence(README, AUDIT_CPU, f"{len(seeds)} of {len(table)} operations vary on a CPU")


def claims_on_a_cpu() -> Iterator[Sentence]:
    """How many published claims hold on a CPU."""
    yield Sentence(CLAIMS_PAGE, CLAIMS, study(CLAIMS).content.answers.rstrip(".").split(".")[0])


def two_ways_to_launch() -> Iterator[Sentence]:
    """Whether forks and blocks see what spawned runs see, and how precise their costs are."""
    ways = [study(name).tables.cells for name in (PUBLISH_SPAWNED, PUBLISH_MIXED)]
    shown = ["cell", "verdict", "first_step", "first_component"]
    spawned, mixed = (table[~table["twin"]][shown].sort_values("cell") for table in ways)
    assert spawned.reset_index(drop=True).equals(mixed.reset_index(drop=True))
    text = f"the first divergence of all {len(mixed)} cells"
    widths = []
    for table in ways:
        own = table[table["cost_low"].notna() & (table["same_as"] == "")]
        widths.append(((own["cost_high"] / own["cost_low"]) ** 0.5 - 1).median())
    for source in (PUBLISH_SPAWNED, PUBLISH_MIXED):
        yield Sentence(OVERHEAD, source, text)
    yield Sentence(OVERHEAD, PUBLISH_SPAWNED, f"is ±{percent(widths[0])} where each")
    yield Sentence(OVERHEAD, PUBLISH_MIXED, f"and ±{percent(widths[1])} where one process")


def sources_of_noise() -> Iterator[Sentence]:
    """How far the machine, the seed and one flipped bit move two trainings."""
    rows = {
        (row["scenario"], row["noise"]): row for row in study(NOISE).tables.noise.to_dict("records")
    }
    changes = {
        "implementation": "the machine",
        "algorithm": "the seed",
        "bit_flip": "one bit of one weight",
    }
    for scenario in ("mlp_digits", "resnet"):
        for noise, what in changes.items():
            row = rows[scenario, noise]
            figures = (
                format_agreement(row),
                f"{percent(row['accuracy_mean'], 3)} ({percent(row['accuracy_sd'])})",
                percent(row["churn"]),
                figure(row["weight_rel_l2"], 2),
            )
            yield Sentence(SETTINGS, NOISE, f"| {what} | {' | '.join(figures)} |")
    moved = rows["resnet", "bit_flip"]["weight_rel_l2"]
    yield Sentence(SETTINGS, NOISE, f"moves the weights of `resnet` by {percent(moved)}")


SECTIONS = (
    example_of_the_readme,
    bits_of_the_h100,
    origin_on_the_h100,
    costs_on_the_h100,
    audit_of_the_h100,
    dependence_on_the_h100,
    symptom_of_the_race,
    record_of_the_race,
    first_calls_on_an_intel_cpu,
    first_calls_on_another_cpu,
    claims_on_a_cpu,
    two_ways_to_launch,
    audit_of_a_cpu,
    sources_of_noise,
)
