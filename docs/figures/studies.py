"""The published studies that pages quote, made again from their records."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from harness.analysis.study_data import StudyData, read_study
from harness.report.content.document import ReportContent, build_content
from harness.report.format import interval
from harness.report.labels import add_labels
from harness.report.tables.tables import Tables

PUBLISHED = Path(__file__).resolve().parents[2] / "results" / "published"

CLAIMS_OLD = "20261121-093041-20-scenarios-f466"
NOISE_OLD = "20261121-095503-4-scenarios-d7a0"
PUBLISH_SPAWNED = "20261126-043504-7-scenarios-c542"
PUBLISH_MIXED = "20261126-091956-7-scenarios-71d7"
CLAIMS = "20261126-075720-20-scenarios-9426"
FIRST_CALLS_INTEL = "20261126-082157-first_op-h100"
FIRST_CALLS_AMD = "20261126-034649-first_op-6edf"
AUDIT_CPU = "20261126-030725-2-scenarios-bb45"
NOISE = "20261126-082215-4-scenarios-4df2"
EXAMPLE = "20261126-085158-2-scenarios-f0e3"
EXAMPLE_DIAGNOSIS = "20261126-082106-script-0f19"
EXAMPLE_RECIPE = "20261127-001653-script-recipe"
AUDIT_H100 = "20261126-012902-audit-h100"
BITS_H100 = "20261126-012850-6-scenarios-h100"
COST_H100 = "20261126-013416-4-scenarios-h100"
TURNS_H100 = "20261126-121228-7-scenarios-h100"
RESNET_H100 = "20261126-012847-resnet-h100"
PERTURB_H100 = "20261128-034756-cnn-perturb-h100"


@dataclass(frozen=True)
class Study:
    data: StudyData
    tables: Tables
    content: ReportContent

    def cell(self, scenario: str, setting: str) -> dict[str, Any]:
        """The row of the cell table; raises ValueError unless there is exactly one."""
        table = self.tables.cells
        (row,) = table[
            (table["scenario"] == scenario) & (table["determinism"] == setting) & ~table["twin"]
        ].to_dict("records")
        return {str(key): value for key, value in row.items()}

    def cost(self, scenario: str, setting: str) -> str:
        row = self.cell(scenario, setting)
        return f"{row['cost_ratio']:.3f} ({interval(row['cost_low'], row['cost_high'])})"


@cache
def study(name: str) -> Study:
    """A published study, made again from its records."""
    data = read_study(PUBLISHED / name)
    tables = Tables.of(data)
    return Study(data, tables, build_content(data, add_labels(data, tables.cells), tables))


def varying(table: pd.DataFrame, column: str) -> list[str]:
    rows = table[table[column].str.startswith(("varies", "rarely"))]
    return list(rows["operation"])
