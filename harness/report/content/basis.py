"""What a verdict on a script rests on if none of its training steps was observed."""

from __future__ import annotations

import pandas as pd

from harness.analysis.study_data import CellData, StudyData
from harness.report.format import join_words

FILES = "the files that they write"


def unobserved_basis(cell: CellData) -> str:
    """What the runs of a script are compared by if none of its steps was observed, else ""."""
    trainings = [repeat for _, repeat in cell.trainings()]
    if cell.cell.scenario.framework != "script" or not trainings or trainings[0].steps:
        return ""
    compared = trainings[0].final
    parts = [
        "what they declare" if any(name.startswith("observed ") for name in compared) else "",
        "the models that they call" if "params" in compared else "",
        FILES if "files" in compared else "",
        "what they print" if "printed" in compared else "",
        "other ranks" if any(name.startswith("rank ") for name in compared) else "",
    ]
    return join_words([part for part in parts if part])


def describe_unobserved(study: StudyData, cells: pd.DataFrame) -> list[str]:
    """Return a sentence for each scenario in the table whose training was not observed."""
    bases = {
        row["scenario"]: unobserved_basis(study.by_id(row["same_as"] or row["cell"]))
        for row in cells.to_dict("records")
    }
    return [
        f"{scenario}: no training step was observed; runs are compared by {basis}"
        for scenario, basis in bases.items()
        if basis
    ]
