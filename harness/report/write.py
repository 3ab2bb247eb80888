"""Writes everything that a report consists of: tables, figures and pages."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.analysis.study_data import StudyData, read_study
from harness.report.content.document import ReportContent, build_content
from harness.report.figures.draw import draw_figures
from harness.report.labels import add_labels
from harness.report.pages.latex import write_latex
from harness.report.pages.render import write_pages
from harness.report.tables.tables import Tables, write_csv, write_parquet

FOLDERS = ("tables", "figures")
FORMATS, DEFAULT = ("md", "html", "tex", "parquet"), ("md", "html")


@dataclass(frozen=True)
class Report:
    study: StudyData
    cells: pd.DataFrame  # the cell table with labels
    content: ReportContent
    has_failed_control: bool


def write_report(folder: Path, formats: Collection[str] = DEFAULT) -> Report:
    """Write the report of a study into its folder, in some of FORMATS; CSV and figures always.

    It is a function of the manifest, the schedule and the records: equal ones give equal bytes.
    Raises OSError or ValueError, and UsageError if a format needs what is not installed.
    """
    study = read_study(folder)
    results = Tables.of(study)
    files = results.by_file(study)
    write_csv(folder / "tables", files)
    cells = add_labels(study, results.cells)
    content = build_content(study, cells, results)
    figures = draw_figures(folder / "figures", study, cells, content)
    write_pages(folder, content, figures, formats)
    if "parquet" in formats:
        write_parquet(folder / "tables", files)
    if "tex" in formats:
        write_latex(folder / "latex", content)
    return Report(study, cells, content, results.controls.failed)
