"""python -m harness.report STUDY: everything that is told, made from the study's records alone."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.analysis.cells import cell_table
from harness.analysis.claims import claims_table
from harness.analysis.controls import controls
from harness.analysis.evidence import read
from harness.analysis.noise import noise_table
from harness.report import figures, pages, tables, terminal
from harness.report.story import labelled, tell
from harness.words import A_CONTROL_FAILED


def main(folder: Path) -> int:
    study = read(folder)
    table = cell_table(study)
    checked = controls(study)
    judged = claims_table(study, table)
    sources = noise_table(table)
    tables.write(folder / "tables", study, table, checked, judged, sources)
    shown = labelled(table)
    drawn = figures.draw(folder / "figures", study, shown)
    story = tell(study, shown, checked, judged, sources)
    pages.write(folder, story, drawn)
    terminal.show(story)
    return A_CONTROL_FAILED if checked.failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
