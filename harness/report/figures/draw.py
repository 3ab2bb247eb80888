"""All figures of a report, and their files."""

from __future__ import annotations

import warnings
from pathlib import Path

import matplotlib as mpl
import pandas as pd

from harness.analysis.study_data import StudyData
from harness.core.files import make_folder, write_text
from harness.report.content.document import ReportContent
from harness.report.figures.base import STYLE, Figure
from harness.report.figures.cost import cost
from harness.report.figures.dependence import dependence
from harness.report.figures.divergence import divergence, two_runs
from harness.report.figures.reproducibility import reproducibility
from harness.report.figures.schedule import schedule
from harness.report.figures.tradeoff import tradeoff
from harness.report.figures.verdicts import verdicts


def draw_figures(
    folder: Path, study: StudyData, table: pd.DataFrame, content: ReportContent
) -> list[Figure]:
    """Draw every figure that the study has data for, and write each to its own file.

    ``table`` is the cell table with labels.
    """
    make_folder(folder)
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the viewer's font may have it
        recipe = tradeoff(table, study.recipe)
        drawn = {
            "verdicts": verdicts(table, content),
            "cost": None if recipe else cost(table),  # whose names of sets would fill it
            "divergence": divergence(study, table),
            "two_runs": two_runs(study, table),
            "reproducibility": reproducibility(table),
            "tradeoff": recipe,
            "dependence": dependence(study.dependence),
            "schedule": schedule(study),
        }
    for name, figure in drawn.items():
        if figure:
            write_text(folder / f"{name}.svg", str(figure.svg))
        else:
            (folder / f"{name}.svg").unlink(missing_ok=True)  # of an earlier report
    return [figure for figure in drawn.values() if figure]
