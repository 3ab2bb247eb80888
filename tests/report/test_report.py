"""The report of a real study says what its records say, in a fixed order."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from harness.analysis.study_data import read_study
from harness.core.exit_codes import DONE, FINDING
from harness.core.record import RunRecord, load_record
from harness.core.spec import Kind
from harness.report.__main__ import main
from harness.report.content.matrix_rows import MATRIX_COLUMNS
from tests.conftest import Done, command

COLUMNS = {
    "cell",
    "overrides",
    "baseline",
    "scenario",
    "determinism",
    "device",
    "twin",
    "trace_runs",
    "repeats",
    "distinct",
    "verdict",
    "divergence_rate_upper",
    "first_step",
    "first_component",
    "loss_spread",
    "loss_sd_rel",
    "accuracy_sd",
    "churn",
    "weight_rel_l2",
    "weight_max_ulp",
    "weight_differing",
    "timing_runs",
    "step_ms",
    "cost_ratio",
    "cost_low",
    "cost_high",
    "cost",
    "peak_mb",
    "setup_s",
    "runs_ok",
    "runs_refused",
    "runs_failed",
}
SECTIONS = ["Figures", "Results", "Controls", "In words", "Warnings", "Machine", "Cite and repeat"]


def read_cells(study: Path) -> pd.DataFrame:
    return pd.read_csv(study / "tables" / "cells.csv", keep_default_na=False, na_values=[""])


def test_the_cell_table_has_its_columns(study: Path) -> None:
    """The table of cells has at least the columns listed here."""
    assert set(read_cells(study).columns) >= COLUMNS


def find_row(study: Path, scenario: str, setting: str) -> pd.Series:
    """The requested cell of a scenario and setting."""
    table = read_cells(study).query("role == 'asked' and not twin")
    (index,) = table.query("scenario == @scenario and determinism == @setting").index
    return table.loc[index]


def test_the_positive_control_varies_under_seed_and_not_under_full(study: Path) -> None:
    """Weights of the positive control differ under `seed` and agree under `full`."""
    assert find_row(study, "indexing", "full")["verdict"] == "identical"
    if read_study(study).manifest["software"]["threads"] == 1:
        pytest.skip("atomics cannot race on one thread; run this on two cores")
    seed = find_row(study, "indexing", "seed")
    assert seed["verdict"].startswith("varies")
    assert seed["first_component"] in ("grads", "params")
    assert seed["weight_rel_l2"] > 0
    assert seed["weight_max_ulp"] >= 1
    assert 0 < seed["weight_differing"] <= 1


def test_an_unseeded_mlp_varies_from_the_start(study: Path) -> None:
    """Without a seed, even repeats in one process start from different states."""
    cell = find_row(study, "mlp", "none")
    assert (cell["verdict"], cell["first_step"]) == ("varies per call", 0)


def test_a_seeded_mlp_is_identical(study: Path) -> None:
    """With a seed, all runs of the MLP have a single result and no distance."""
    cell = find_row(study, "mlp", "seed")
    assert (cell["verdict"], cell["distinct"], cell["weight_rel_l2"]) == ("identical", 1, 0)


def test_twins_are_timed_but_not_traced(study: Path) -> None:
    """A twin has a row with its cost and number of timing runs, but no verdict."""
    twins = read_cells(study).query("twin")
    assert set(twins["verdict"]) == {"not tested"}
    assert (twins["timing_runs"] == 2).all()
    assert twins["cost_ratio"].notna().all()


def test_every_run_has_a_row(study: Path) -> None:
    """The table has a row for each run, and for each cell of a block, at consecutive positions."""
    runs = pd.read_csv(study / "tables" / "runs.csv")
    records = [load_record(path) for path in (study / "runs").glob("*.t*.*.json")]
    assert sorted(set(runs["position"])) == list(range(len(records)))
    assert len(runs) == sum(len(record.of_arms()) for record in records)
    assert runs["run"].is_unique


def test_sections_have_a_fixed_order(study: Path) -> None:
    """Markdown and HTML have the same sections in the same order."""
    markdown = (study / "report.md").read_text()
    assert re.findall(r"^## (.+)$", markdown, re.MULTILINE) == SECTIONS
    page = re.findall(r"<h2>(.+?)</h2>", (study / "report.html").read_text())
    page.remove("Runs")  # on the page alone
    assert page == SECTIONS


def test_the_page_is_self_contained(study: Path) -> None:
    """The HTML page links to no other file and contains its tables and all six figures."""
    html = (study / "report.html").read_text()
    assert not re.search(r"""(?:src|href)=["'](?!#|data:text/csv;)""", html)
    assert html.count("<svg") == len(list((study / "figures").glob("*.svg"))) == 6


def test_few_runs_do_not_prove_identity(study: Path) -> None:
    """After few runs, the report only says that no difference was seen."""
    html = (study / "report.html").read_text()
    assert "no difference seen under" in html
    assert "the same bits in every run" not in html


def rebuild(study: Path) -> Done:
    """Makes the report again, in this process."""
    return command(str(study), cwd=study, program=main)


def test_the_report_is_rebuilt_without_torch(study: Path, tmp_path: Path) -> None:
    """The report can be rebuilt where torch cannot be imported, and is the same."""
    copy = tmp_path / "copy"
    shutil.copytree(study, copy)
    before = {path: (copy / path).read_text() for path in ("tables/cells.csv", "report.md")}
    for path in ("tables", "figures"):
        shutil.rmtree(copy / path)
    program = (
        "import sys\n"
        "class NoTorch:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name.split('.')[0] == 'torch': raise ImportError(name)\n"
        "sys.meta_path.insert(0, NoTorch())\n"
        "from harness.report.__main__ import main\n"
        "main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(copy)], capture_output=True, text=True, check=False
    )
    assert not done.stderr, done.stderr
    after = {path: (copy / path).read_text().replace("copy", study.name) for path in before}
    assert after == {path: text.replace("copy", study.name) for path, text in before.items()}


def test_missing_and_damaged_records_are_reported(study: Path, tmp_path: Path) -> None:
    """The report counts missing and damaged records and names the damaged ones."""
    copy = tmp_path / "copy"
    shutil.copytree(study, copy)
    paths = sorted((copy / "runs").glob("mlp-full*.trace.*.json"))
    paths[0].unlink()
    paths[1].write_text("{")
    done = rebuild(copy)
    assert done.returncode in (DONE, FINDING), done.stderr
    text = (copy / "report.md").read_text()
    assert "2 of" in text
    assert f"{paths[1].name} is not a complete record" in text
    assert "mlp" in text


def test_damaged_distances_are_reported(study: Path, tmp_path: Path) -> None:
    """Damaged distances cause a caveat and a dash in the table, never a distance of 0."""
    assert find_row(study, "mlp", "none")["weight_rel_l2"] > 0
    copy = tmp_path / "copy"
    shutil.copytree(study, copy)
    (path,) = (copy / "runs").glob("distances-mlp-none-*.json")
    path.write_text(path.read_text()[:-10])
    done = rebuild(copy)
    assert done.returncode in (DONE, FINDING), done.stderr
    cell = find_row(copy, "mlp", "none")
    assert pd.isna(cell["weight_rel_l2"])
    text = (copy / "report.md").read_text()
    assert f"{cell['cell']}: runs diverged, but their distance was not measured." in text
    (line,) = re.findall(r"^\| mlp[^|]*\| none.*$", text, re.MULTILINE)
    weights = [value.strip() for value in line.strip("|").split("|")][
        MATRIX_COLUMNS.index("weight distance")
    ]
    assert weights == "–"


def runs_of(study: Path) -> list[RunRecord]:
    """The runs, with one for each cell of a block."""
    records = [load_record(path) for path in (study / "runs").glob("*.t*.*.json")]
    return [run for record in records for run in record.of_arms()]


def test_snapshots_are_deleted(study: Path) -> None:
    """A finished study keeps no snapshots of parameters."""
    assert not (study / "snapshots").exists()


def test_records_have_the_effective_settings(study: Path) -> None:
    """A record under `full` says which algorithms and hash seed were in effect."""
    full = [run for run in runs_of(study) if run.spec.cell.id.startswith("mlp-full")]
    assert full
    for run in full:
        effective = run.effective
        assert effective["algorithms"] == "require"
        assert effective["python_hash_seed"] == 42


def test_step_times_divide_to_the_cost(study: Path) -> None:
    """The step time of a cell, divided by that of its baseline, is its cost to the last digit."""
    cells = read_cells(study).query("not twin").set_index("cell")
    costs = cells[cells["cost_ratio"].notna()]
    assert len(costs)
    for _, row in costs.iterrows():
        quotient = row["step_ms"] / cells.loc[row["baseline"], "step_ms"]
        assert quotient == pytest.approx(row["cost_ratio"], rel=1e-9)


def test_a_timing_run_records_a_whole_training_and_what_it_counted(study: Path) -> None:
    """Each arm has the times of all steps of a training, warm-up included, and counted seconds."""
    timed = [run for run in runs_of(study) if run.spec.kind is Kind.timing]
    assert timed
    for run in timed:
        assert run.timed is not None
        assert run.spec.min_s == 0.05
        assert run.timed.counted_s > 0
        assert run.timed.counted_steps > 0
        assert len(run.timed.step_s) > run.spec.warmup
