"""The map and the headline of a report say what the records of synthetic studies say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest

from harness.analysis.cell_table import cell_table
from harness.analysis.study_data import CellData, StudyData
from harness.core.record import Outcome, RunRecord
from harness.core.spec import Algorithms, Cell, Determinism, Noise
from harness.report.content.headline import training_headline
from harness.report.content.overview import Field, Overview, build_overview
from harness.report.labels import add_labels
from tests.conftest import repeat

Make = Callable[..., RunRecord]
Build = Callable[..., tuple[StudyData, pd.DataFrame]]
SETTINGS = {
    "none": Determinism(),
    "seed": Determinism(seed=42),
    "warn": Determinism(seed=42, algorithms=Algorithms.warn),
    "full": Determinism(seed=42, python_hash_seed=42, algorithms=Algorithms.require),
}
EQUAL, DIFFERENT, FEW = "a" * 30, "abcdefghijklmnopqrstuvwxyzABCD", "aaaa"


@pytest.fixture
def build(make_cell: Callable[..., Cell], trace: Make, timing: Make) -> Build:
    """Makes a study and its labelled table: for each scenario and setting the ends of its runs.

    An end that names a setting makes the cell an alias of that one. ``costs`` are the ratios of the
    four blocks of a scenario and setting to those of `seed`.
    """

    def make(
        ends: dict[str, dict[str, str]],
        costs: dict[tuple[str, str], list[float]] | None = None,
        noise: Noise = Noise.none,
    ) -> tuple[StudyData, pd.DataFrame]:
        cells = []
        for scenario, settings in ends.items():
            for setting, runs in settings.items():
                alias = f"{scenario}-{runs}" if runs in SETTINGS else None
                own = "" if alias else runs
                data = CellData(
                    id=f"{scenario}-{setting}",
                    cell=make_cell(setting, scenario, determinism=SETTINGS[setting], noise=noise),
                    role="asked",
                    baseline=f"{scenario}-seed" if costs else None,
                    same_as=alias,
                    traces=[trace(n, repeat(end)) for n, end in enumerate(own, 1)],
                )
                ratios = (costs or {}).get((scenario, setting), [])
                timings = [timing(block, 0.1 * ratio) for block, ratio in enumerate(ratios, 1)]
                cells.append(replace(data, timings=timings))
        known = {cell.id: cell for cell in cells}
        for index, cell in enumerate(cells):
            if cell.same_as:
                cells[index] = replace(cell, traces=known[cell.same_as].traces)
        study = StudyData("s", {}, cells, [], 0)
        return study, add_labels(study, cell_table(study))

    return make


def shown(overview: Overview) -> list[list[str]]:
    """What a reader sees of each row: its label, its fields and what suffices."""
    return [[row.label, *map(field_text, row.fields), row.suffices] for row in overview.rows]


def field_text(field: Field | None) -> str:
    if field is None:
        return ""
    return f"{field.mark.symbol} {field.like or field.differ} {field.cost}".rstrip()


def test_the_map_has_a_row_for_each_training_and_settings_by_strength(build: Build) -> None:
    """Settings stand in the order of their switches, whatever the order of the cells."""
    ends = {"mlp": {"full": EQUAL, "none": DIFFERENT, "seed": EQUAL}}
    overview = build_overview(*build(ends))
    assert overview.columns == ["none", "seed", "full"]
    assert shown(overview) == [["mlp", "✗ all 30", "✓ 0 of 30", "✓ 0 of 30", "seed"]]


def test_few_equal_runs_have_another_symbol(build: Build) -> None:
    """Fewer than 30 equal runs are marked as no difference seen."""
    (row,) = build_overview(*build({"mlp": {"seed": FEW}})).rows
    (field,) = row.fields
    assert field is not None
    assert (field.mark.symbol, field.mark.word) == ("○", "no difference seen")


def test_settings_that_nothing_tells_apart_share_a_column(build: Build) -> None:
    """An alias in every row joins the column of its setting; elsewhere it refers to it."""
    both = {"seed": EQUAL, "warn": "seed"}
    assert build_overview(*build({"mlp": both})).columns == ["seed, warn"]
    overview = build_overview(*build({"mlp": both, "cnn": {"seed": EQUAL, "warn": EQUAL}}))
    assert overview.columns == ["seed", "warn"]
    assert shown(overview)[0] == ["mlp", "✓ 0 of 30", "✓ seed", "seed"]


def test_trainings_with_a_surprise_come_first(build: Build) -> None:
    """A training that varies under a seeded setting precedes those that do not."""
    good = {"none": DIFFERENT, "seed": EQUAL, "full": EQUAL}
    overview = build_overview(*build({"mlp": good, "cnn": {**good, "seed": DIFFERENT}}))
    assert [row.label for row in overview.rows] == ["cnn", "mlp"]


def test_many_equal_rows_become_one(build: Build) -> None:
    """Of more than twelve rows, equal ones are folded, and the exception keeps its own."""
    ends = {f"s{number}": {"none": DIFFERENT, "seed": EQUAL} for number in range(13)}
    overview = build_overview(*build({**ends, "odd": {"none": DIFFERENT, "seed": DIFFERENT}}))
    assert [row.label for row in overview.rows] == ["odd", "13 trainings"]
    assert overview.rows[1].names == list(ends)


@pytest.mark.parametrize(
    ("ends", "headline"),
    [
        (
            {"mlp": {"none": DIFFERENT, "seed": EQUAL}, "cnn": {"seed": EQUAL}},
            "Seeds are enough for both trainings here (30 runs each).",
        ),
        (
            {"mlp": {"seed": EQUAL}, "cnn": {"seed": DIFFERENT, "full": EQUAL}},
            "Seeds are enough for 1 of 2 trainings here (30 runs each). `cnn` varies, but not under"
            + " `full`.",
        ),
        (
            {"cnn": {"seed": DIFFERENT, "full": DIFFERENT}},
            "Seeds are not enough. `cnn` varies under every setting tried.",
        ),
        ({"mlp": {"seed": FEW}}, "With seeds, `mlp` shows no difference in 4 runs."),
        ({"mlp": {"none": DIFFERENT, "full": EQUAL}}, "1 of 2 cells shows no difference."),
        ({"mlp": {"seed": "a"}}, "No two runs were compared."),
    ],
    ids=["all", "one varies", "nothing helps", "few runs", "no seeds alone", "nothing compared"],
)
def test_the_headline_says_whether_seeds_are_enough(
    build: Build, ends: dict[str, dict[str, str]], headline: str
) -> None:
    """It rests on cells with seeds alone, and names what helps where they vary."""
    assert training_headline(*build(ends)) == headline


def test_a_refused_setting_was_not_tried(build: Build, trace: Make) -> None:
    """A training that varies while the other setting was refused varies under what ran."""
    study, _ = build({"mlp": {"seed": DIFFERENT, "full": ""}})
    refused = [trace(number, outcome=Outcome.refused) for number in (1, 2)]
    cells = [study.cells[0], replace(study.cells[1], traces=refused)]
    study = replace(study, cells=cells)
    table = add_labels(study, cell_table(study))
    assert training_headline(study, table) == (
        "Seeds are not enough. `mlp` varies, and no setting that ran helps."
    )


def test_an_untested_training_stays_in_the_count(build: Build) -> None:
    """A training whose seeded runs did not complete is counted and named."""
    ends = {"mlp": {"seed": EQUAL}, "cnn": {"seed": EQUAL}, "bad": {"seed": ""}}
    assert training_headline(*build(ends)) == (
        "Seeds are enough for 2 of 3 trainings here (30 runs each). `bad` was not tested with "
        "seeds."
    )


def test_few_runs_are_no_remedy(build: Build) -> None:
    """What few runs show of another setting is said with their number."""
    headline = training_headline(*build({"mlp": {"seed": DIFFERENT, "full": FEW}}))
    assert headline.endswith("`mlp` varies; under `full`, 4 runs show no difference.")


def test_a_folded_row_says_nothing_of_one_training_alone(build: Build) -> None:
    """It has no cost, no place of divergence and no link of its first training."""
    ends = {f"s{number}": {"seed": EQUAL, "full": EQUAL} for number in range(13)}
    costs = {(name, "seed"): [1.0] * 4 for name in ends}
    costs |= {(name, "full"): [1 + number / 100, 1.3, 0.8, 1.0] for number, name in enumerate(ends)}
    (row,) = build_overview(*build(ends, costs)).rows
    assert {(field.cost, field.first, field.cell) for field in row.fields if field} == {
        ("", "", "")
    }


def test_a_folded_row_keeps_a_cost_that_is_shown(build: Build) -> None:
    """If all of its trainings are slower by the same, the row says so."""
    ends = {f"s{number}": {"seed": EQUAL, "full": EQUAL} for number in range(13)}
    costs = {(name, "seed"): [1.0] * 4 for name in ends}
    costs |= {(name, "full"): [1.50, 1.51, 1.49, 1.50] for name in ends}
    (row,) = build_overview(*build(ends, costs)).rows
    assert [field.cost for field in row.fields if field] == ["", "1.50 ×"]


def test_many_trainings_that_vary_are_counted(build: Build) -> None:
    """Three are named, further ones are counted."""
    ends = {f"s{number}": {"seed": DIFFERENT, "full": EQUAL} for number in range(5)}
    assert "`s0`, `s1`, `s2` and 2 more vary, but not under `full`." in training_headline(
        *build(ends)
    )


def test_the_headline_quotes_costs_that_an_interval_shows(build: Build) -> None:
    """A slower setting is named with its ratio, others with the upper end of their intervals."""
    ends = {name: {"seed": EQUAL, "full": EQUAL} for name in ("mlp", "cnn")}
    costs = {
        ("mlp", "seed"): [1.0, 1.0, 1.0, 1.0],
        ("mlp", "full"): [1.50, 1.51, 1.49, 1.50],
        ("cnn", "seed"): [1.0, 1.0, 1.0, 1.0],
        ("cnn", "full"): [1.01, 0.99, 1.02, 0.98],
    }
    headline = training_headline(*build(ends, costs))
    assert "`full` is slower for `mlp`, by 50 %." in headline
    (most,) = headline.split("costs at most ")[1:]
    assert headline.endswith("% (95 % confidence).")
    assert float(most.split()[0]) > 3.0  # Student's t at the level of two costs, of ±1.8 %


def test_cells_that_vary_on_purpose_are_no_evidence(build: Build) -> None:
    """Runs whose seeds differ on purpose do not make a headline or a recommendation."""
    study, table = build({"mlp": {"seed": DIFFERENT}}, noise=Noise.algorithm)
    assert training_headline(study, table) == "No two runs were compared."
    assert build_overview(study, table).rows[0].suffices == ""


def test_a_failed_training_is_neither_equal_nor_different(
    make_cell: Callable[..., Cell], trace: Make
) -> None:
    """A crash has its own symbol and is not counted among the trainings that seeds decide."""
    crashed = [trace(number, outcome=Outcome.crashed) for number in (1, 2)]
    cell = make_cell("seed", "mlp", determinism=SETTINGS["seed"])
    study = StudyData("s", {}, [CellData("c", cell, "asked", None, None, crashed)], [], 0)
    table = add_labels(study, cell_table(study))
    assert shown(build_overview(study, table)) == [["mlp", "!", ""]]
    assert training_headline(study, table) == "No two runs were compared."
