"""python -m harness.report STUDY: everything that is told, made from the study's records alone."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.analysis.study_data import read
from harness.core.exit_codes import DONE, FINDING
from harness.report import plots, render, tables, terminal
from harness.report.content import labelled, tell


def main(folder: Path) -> int:
    study = read(folder)
    made = tables.Tables.of(study)
    tables.write(folder / "tables", study, made)
    shown = labelled(made.cells)
    drawn = plots.draw(folder / "figures", study, shown)
    story = tell(study, shown, made)
    render.write(folder, story, drawn)
    terminal.show(story)
    return FINDING if made.controls.failed else DONE


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
