"""python -m harness.report STUDY: everything that is told, made from the study's records alone."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.analysis.study_data import read_study
from harness.core.exit_codes import DONE, FINDING
from harness.report import plots, render, tables, terminal
from harness.report.content import add_labels, build_content


def main(folder: Path) -> int:
    study = read_study(folder)
    made = tables.Tables.of(study)
    tables.write_tables(folder / "tables", study, made)
    shown = add_labels(made.cells)
    drawn = plots.draw_figures(folder / "figures", study, shown)
    story = build_content(study, shown, made)
    render.write_pages(folder, story, drawn)
    terminal.print_summary(story)
    return FINDING if made.controls.failed else DONE


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
