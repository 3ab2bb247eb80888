"""The tables of a study, and their CSV files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api.types import is_numeric_dtype

from harness.analysis.audit import audit_table, lengths_table
from harness.analysis.cell_table import cell_table
from harness.analysis.claims.judge import claims_table
from harness.analysis.controls import Controls, check_controls
from harness.analysis.cost import step_s
from harness.analysis.first_calls import first_calls_table
from harness.analysis.noise import noise_table
from harness.analysis.study_data import StudyData
from harness.core.errors import UsageError
from harness.core.files import make_folder, write_text
from harness.core.record import RunRecord
from harness.report.format import printable

FLOATS = "%.12g"  # the last digits of a sum depend on the processor


@dataclass(frozen=True)
class Tables:
    """Everything computed from a study's records; the last five may be empty."""

    cells: pd.DataFrame
    controls: Controls
    claims: pd.DataFrame
    noise: pd.DataFrame
    audit: pd.DataFrame
    lengths: pd.DataFrame
    first_calls: pd.DataFrame

    @classmethod
    def of(cls, study: StudyData) -> Tables:
        cells = cell_table(study)
        return cls(
            cells=cells,
            controls=check_controls(study),
            claims=claims_table(study, cells),
            noise=noise_table(cells),
            audit=audit_table(study),
            lengths=lengths_table(study),
            first_calls=first_calls_table(study),
        )

    def by_file(self, study: StudyData) -> dict[str, pd.DataFrame]:
        """Return every table by the name of its file, without the suffix."""
        return {
            "cells": self.cells,
            "runs": pd.DataFrame([_run_columns(run) for run in study.runs]),
            "controls": _controls_table(self.controls),
            "claims": self.claims,
            "noise": self.noise,
            "audit": self.audit,
            "audit_lengths": self.lengths,
            "first_calls": self.first_calls,
        }


def write_csv(folder: Path, files: Mapping[str, pd.DataFrame]) -> None:
    for path, table in _paths(folder, files, "csv"):
        write_text(path, printable(_as_csv(table)))


def write_parquet(folder: Path, files: Mapping[str, pd.DataFrame]) -> None:
    """Write all digits, with types. Raises UsageError if pyarrow is not installed."""
    if find_spec("pyarrow") is None:
        raise UsageError(
            "Parquet needs pyarrow: pip install 'determinism-harness[parquet]', or leave parquet "
            "out of --format"
        )
    for path, table in _paths(folder, files, "parquet"):
        texts = {
            str(name): values.map(str, na_action="ignore")
            for name, values in table.items()
            if not is_numeric_dtype(values)
        }
        table.assign(**texts).to_parquet(path, index=False)


def _paths(
    folder: Path, files: Mapping[str, pd.DataFrame], suffix: str
) -> Iterator[tuple[Path, pd.DataFrame]]:
    """Yield the file of each table, and remove those of tables that are now empty."""
    make_folder(folder)
    for name, table in files.items():
        path = folder / f"{name}.{suffix}"
        path.unlink(missing_ok=True)  # of an earlier report; a link would lead elsewhere
        if not table.empty:
            yield path, table


def _as_csv(table: pd.DataFrame) -> str:
    columns = {
        name: values if is_numeric_dtype(values) else values.map(_defuse)
        for name, values in table.items()
    }
    return pd.DataFrame(columns).to_csv(index=False, float_format=FLOATS)


def _defuse(value: Any) -> Any:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "@")) else value


def _run_columns(run: RunRecord) -> dict[str, Any]:
    first = run.repeats[0] if run.repeats else None
    end = run.timed or first
    return {
        "run": run.run_id,
        "cell": run.spec.cell.id,
        "kind": str(run.spec.kind),
        "number": run.spec.number,
        "twin": run.spec.twin,
        "position": run.position,
        "attempt": run.attempt,
        "outcome": str(run.outcome),
        "operation": run.operation or "",
        "step_ms": 1000 * step_s(run) if run.timed else None,
        "setup_s": run.setup_s,
        "wall_s": run.wall_s,
        "peak_mb": run.peak_mb,
        "other_load": run.other_load,
        "throttled": ", ".join(run.throttled),
        "threads": run.threads,
        "loss": run.timed.loss
        if run.timed
        else first.losses[-1]
        if first and first.losses
        else None,
        "accuracy": end.accuracy if end else None,
        "params": end.final.get("params", "") if end else "",
        "predictions": end.final.get("predictions", "") if end else "",
    }


def _controls_table(checked: Controls) -> pd.DataFrame:
    rows = [
        {
            "control": "A/A twin",
            "cell": twin.cell,
            "blocks": twin.plain.blocks,
            "ratio": twin.plain.point,
            "low": twin.plain.low,
            "high": twin.plain.high,
            "simultaneous_low": twin.simultaneous.low,
            "simultaneous_high": twin.simultaneous.high,
            "smallest_detectable": twin.smallest_detectable,
            "check": twin.check_label,
        }
        for twin in checked.twins
    ]
    positive = {"control": "positive", "check": str(checked.positive.control)}
    return pd.DataFrame([*rows, positive])
