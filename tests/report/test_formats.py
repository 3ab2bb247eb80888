"""A report in LaTeX and Parquet, and in the summary of a job."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

from harness.core.exit_codes import BAD_REQUEST, DONE, FAILED
from harness.report.content.matrix_rows import MatrixRow
from harness.report.pages.latex import _escape
from harness.report.write import write_report
from tests.conftest import command, harness

ESCAPED = {
    "a_b & 5 %": r"a\_b \& 5 \%",
    "C:\\new {x} ~^$#": r"C:\textbackslash{}new \{x\} \textasciitilde{}\textasciicircum{}\$\#",
    "≤ 1 ×": r"\(\le\) 1 \(\times\)",
    "`seed`": "seed",
    "two\nlines\x1b[31m": "two lines?[31m",
    "[draft] ħŉ": "{}[draft] ??",
    "日本": "??",
}


@pytest.fixture
def copied(study: Path, tmp_path: Path) -> Path:
    shutil.copytree(study, tmp_path / "it")
    return tmp_path / "it"


@pytest.mark.parametrize("text", ESCAPED)
def test_text_is_printed_as_it_is(text: str) -> None:
    """LaTeX obeys no character of a name."""
    assert _escape(text) == ESCAPED[text]


def test_latex_has_the_numbers_of_the_page(copied: Path) -> None:
    """Each row of the results stands in the LaTeX table, with booktabs' rules."""
    matrix = write_report(copied, ["tex"]).content.matrix
    latex = (copied / "latex" / "results.tex").read_text()
    for row in map(MatrixRow.named, matrix):
        assert f" & {row['verdict']} & {row['differ']} & {row['first divergence']} & " in latex
    assert len(matrix) == sum(" & " in line for line in latex.splitlines()) - 1  # its header
    assert all(rule in latex for rule in (r"\toprule", r"\midrule", r"\bottomrule"))


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex (texlive-latex-base)")
def test_pdflatex_takes_all_tables(copied: Path, tmp_path: Path) -> None:
    """A document with every table compiles without an error."""
    write_report(copied, ["tex"])
    names = sorted(path.name for path in (copied / "latex").iterdir())
    inputs = "\n".join(rf"\input{{{copied}/latex/{name}}}" for name in names)
    head = r"\documentclass{article}\usepackage{array,booktabs,graphicx,longtable}\begin{document}"
    (tmp_path / "all.tex").write_text(rf"{head}{inputs}\end{{document}}")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]


@pytest.mark.exports
@pytest.mark.skipif(
    find_spec("pyarrow") is None, reason="pyarrow is not installed: run `make test-exports`"
)
def test_parquet_has_the_table_with_its_types(copied: Path) -> None:
    """The Parquet file has the rows and columns of the CSV file, and numbers are numbers."""
    write_report(copied, ["parquet"])
    table = pd.read_parquet(copied / "tables" / "cells.parquet")
    written = pd.read_csv(copied / "tables" / "cells.csv")
    assert list(table.columns) == list(written.columns)
    assert table["step_ms"].to_numpy() == pytest.approx(written["step_ms"].to_numpy(), nan_ok=True)
    assert (table["twin"] == written["twin"]).all()


def test_an_unknown_format_is_named(copied: Path) -> None:
    """The error lists the formats, and the study is as it was."""
    before = sorted(copied.rglob("*"))
    done = harness("report", str(copied), "--format", "md,pdf", cwd=copied.parent)
    assert done.returncode == BAD_REQUEST
    assert "--format pdf: the formats are md, html, tex, parquet" in done.stderr
    assert sorted(copied.rglob("*")) == before


def test_a_published_study_takes_no_other_format(copied: Path) -> None:
    """It holds only what `verify` makes again."""
    (copied / "SHA256SUMS").write_text("")
    done = command("report", str(copied), "--format=tex", cwd=copied.parent)
    assert done.returncode == BAD_REQUEST
    assert not (copied / "latex").exists()


def test_a_job_summary_has_the_first_screen(copied: Path) -> None:
    """In GitHub Actions, the report appends its headline and map, and nothing below them."""
    summary = copied.parent / "summary.md"
    summary.write_text("before\n")
    done = harness("report", str(copied), cwd=copied.parent, GITHUB_STEP_SUMMARY=str(summary))
    assert done.returncode in (DONE, FAILED), done.stderr  # a twin may fail by chance
    text = summary.read_text()
    assert text.startswith("before\n# ")
    page = (copied / "report.md").read_text()
    assert text.removeprefix("before\n").split("\n")[0] == page.split("\n")[0]
    assert re.search(r"^\| training \| enough here \|", text, re.MULTILINE)
    assert "## " not in text
