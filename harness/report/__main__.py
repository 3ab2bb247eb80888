"""``python -m harness.report STUDY``: write the report from the records of the study alone."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from harness.analysis.study_data import read_study
from harness.core.exit_codes import DONE, FINDING
from harness.report import plots, render, tables, terminal
from harness.report.basis import describe_unobserved
from harness.report.content import build_content
from harness.report.failures import describe_failures
from harness.report.labels import add_labels


def main(folder: Path) -> int:
    gc.disable()  # of millions of records' parts none is garbage before the end
    study = read_study(folder)
    results = tables.Tables.of(study)
    tables.write_tables(folder / "tables", study, results)
    cells = add_labels(study, results.cells)
    figures = plots.draw_figures(folder / "figures", study, cells)
    content = build_content(study, cells, results)
    render.write_pages(folder, content, figures)
    terminal.print_summary(
        content, describe_failures(folder, study, cells), describe_unobserved(study, cells)
    )
    return FINDING if results.controls.failed else DONE


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
