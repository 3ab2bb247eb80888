"""``python -m harness.analysis.timing_precision STUDY``: how many timing blocks each cell needs.

Decided once, from the scatter in the blocks of the first stage (``timing.first``), and written to
blocks.json: the number of blocks by cell. A baseline and the cells that are compared with it have
the same number. It makes the intervals of those that share its process as narrow as
``timing.precision``; between processes, no affordable number of blocks would.
"""

from __future__ import annotations

import sys
from pathlib import Path

from harness.analysis.cell_table import cost_ratio, twin_ratio
from harness.analysis.cost import blocks_needed
from harness.analysis.study_data import StudyData, read_study
from harness.core.files import write_json
from harness.core.paths import BLOCKS


def decide_blocks(study: StudyData) -> dict[str, int]:
    """Return the blocks by cell, for baselines of which every first block is timed."""
    precision = study.manifest["request"]["timing"]["precision"]
    decided: dict[str, int] = {}
    for baseline in study.cells:
        compared = [cell for cell in study.cells if cell.baseline == baseline.id]
        if baseline.same_as or not baseline.twins or not compared:
            continue
        processes = {run.process for run in baseline.timings}
        together = [cell for cell in compared if processes & {run.process for run in cell.timings}]
        ratios = [twin_ratio(baseline), *(cost_ratio(study, cell) for cell in together)]
        known = [ratio for ratio in ratios if ratio]
        timed = min(len(baseline.timings), len(baseline.twins))
        if known and timed >= (baseline.first_blocks or 0):
            needed = max(blocks_needed(ratio, precision) for ratio in known)
            decided |= {cell.measured_id: needed for cell in compared}
    return decided


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    write_json(folder / BLOCKS, decide_blocks(read_study(folder)))
