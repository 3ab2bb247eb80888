"""python -m harness.report STUDY: everything that is told, made again from runs/ alone."""

from __future__ import annotations

import sys
from pathlib import Path

from harness.analysis.cells import cell_table
from harness.analysis.controls import controls
from harness.analysis.evidence import read
from harness.report import figures, pages, tables, terminal
from harness.report.story import tell

DONE, CONTROL_FAILED = 0, 1


def main(folder: Path, quiet: bool = False) -> int:
    study = read(folder)
    table = cell_table(study)
    checked = controls(study)
    tables.write(folder / "tables", study, table, checked)
    drawn = figures.draw(folder / "figures", study, table)
    story = tell(study, table, checked)
    pages.write(folder, story, drawn)
    if not quiet:
        terminal.show(story)
    return CONTROL_FAILED if checked.failed else DONE


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), quiet="--quiet" in sys.argv))
