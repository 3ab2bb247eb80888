"""Writes everything that a report consists of: tables, figures and pages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.analysis.study_data import StudyData, read_study
from harness.report.content.document import ReportContent, build_content
from harness.report.figures.draw import draw_figures
from harness.report.labels import add_labels
from harness.report.pages import render
from harness.report.tables.tables import Tables, write_tables

FOLDERS, PAGES = ("tables", "figures"), ("report.md", "report.html")


@dataclass(frozen=True)
class Report:
    study: StudyData
    cells: pd.DataFrame  # the cell table with labels
    content: ReportContent
    has_failed_control: bool


def write_report(folder: Path) -> Report:
    """Write the report of a study into its folder. Raises OSError or ValueError.

    It is a function of the manifest, the schedule and the records: equal ones give equal bytes.
    """
    study = read_study(folder)
    results = Tables.of(study)
    write_tables(folder / "tables", study, results)
    cells = add_labels(study, results.cells)
    content = build_content(study, cells, results)
    figures = draw_figures(folder / "figures", study, cells, content)
    render.write_pages(folder, content, figures)
    return Report(study, cells, content, results.controls.failed)
