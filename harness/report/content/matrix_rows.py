"""The rows of the results table, as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.core.agreement import Agreement
from harness.core.verdict import Verdict, place_at_step_zero
from harness.report.content import legend
from harness.report.format import DASH, figure, interval, is_known, percent

MATRIX_COLUMNS = tuple(legend.RESULTS)


@dataclass(frozen=True)
class MatrixRow:
    values: tuple[str, ...]  # by MATRIX_COLUMNS
    verdict: str

    def named(self) -> dict[str, str]:
        return dict(zip(MATRIX_COLUMNS, self.values, strict=True))


def matrix_rows(table: pd.DataFrame) -> list[MatrixRow]:
    rows = table.to_dict("records")
    return [_matrix_row({str(key): value for key, value in row.items()}) for row in rows]


def _matrix_row(row: dict[str, Any]) -> MatrixRow:
    identical = row["verdict"] == Verdict.identical
    values = (
        row["scenario"],
        row["determinism"],
        _format_runs(row),
        row["verdict_wording"],
        format_agreement(row),
        describe_divergence(row),
        figure(row["steps"]),
        with_detail(figure(row["loss_mean"]), "spread", percent(row["loss_spread"])),
        with_detail(percent(row["accuracy_mean"], 3), "sd", percent(row["accuracy_sd"])),
        percent(row["churn"]),
        _format_weights(row),
        f"{figure(row['peak_mb'])} MiB" if is_known(row["peak_mb"]) else DASH,
        _format_step_time(row),
        _format_cost(row, identical),
        row["cost"] if identical and not row["is_baseline"] else "",
    )
    return MatrixRow(values, row["verdict"])


def _format_runs(row: dict[str, Any]) -> str:
    runs, repeats = row["trace_runs"], row["repeats"]
    if not runs:
        return DASH
    is_uniform = row["trainings"] == runs * repeats
    return f"{runs} × {repeats}" if is_uniform else f"{runs} ({row['trainings']} trainings)"


def describe_divergence(row: Mapping[str, Any]) -> str:
    if not is_known(row["first_step"]):
        return DASH
    step, component = int(row["first_step"]), row["first_component"]
    return f"step {step}, {component}" if step else place_at_step_zero(component)


def format_agreement(row: Mapping[Any, Any]) -> str:
    """How many processes differ; a single one has nothing to differ from."""
    agreement = Agreement.of_row(row)
    return str(agreement) if agreement.processes > 1 else DASH


def with_detail(text: str, name: str, value: str) -> str:
    """A figure with another one in brackets, if both are known."""
    return text if DASH in (text, value) else f"{text} ({name} {value})"


def _format_step_time(row: dict[str, Any]) -> str:
    if not is_known(row["step_ms"]):
        return DASH
    steps, seconds = figure(row["counted_steps"]), figure(row["counted_s"], 2)
    return f"{figure(row['step_ms'])} ms ({steps}, {seconds} s)"


def _format_weights(row: dict[str, Any]) -> str:
    """Format the distance of final parameters; exactly 0 means the same bits."""
    known = is_known(row["weight_rel_l2"])
    return figure(row["weight_rel_l2"], 2) if known else DASH


def _format_cost(row: dict[str, Any], identical: bool) -> str:
    """Format the cost, but only of an identical cell: a setting that fails has no price."""
    if row["is_baseline"]:
        return "1 (baseline)" if row["timing_runs"] else DASH
    if not identical or not is_known(row["cost_ratio"]):
        return DASH
    return f"{row['cost_ratio']:.3f} ({interval(row['cost_low'], row['cost_high'])})"
