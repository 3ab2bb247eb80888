"""Writes everything that a report consists of: tables, figures and pages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.analysis.study_data import StudyData, read_study
from harness.report import plots, render, tables
from harness.report.content import ReportContent, build_content
from harness.report.labels import add_labels

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
    results = tables.Tables.of(study)
    tables.write_tables(folder / "tables", study, results)
    cells = add_labels(study, results.cells)
    figures = plots.draw_figures(folder / "figures", study, cells)
    content = build_content(study, cells, results)
    render.write_pages(folder, content, figures)
    return Report(study, cells, content, results.controls.failed)
