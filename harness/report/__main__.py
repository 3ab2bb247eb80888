"""python -m harness.report STUDY: everything that is told, made from the study's records alone."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.analysis.evidence import read
from harness.report import figures, pages, tables, terminal
from harness.report.story import labelled, tell
from harness.words import A_CONTROL_FAILED


def main(folder: Path) -> int:
    study = read(folder)
    made = tables.Tables.of(study)
    tables.write(folder / "tables", study, made)
    shown = labelled(made.cells)
    drawn = figures.draw(folder / "figures", study, shown)
    story = tell(study, shown, made)
    pages.write(folder, story, drawn)
    terminal.show(story)
    return A_CONTROL_FAILED if made.controls.failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
