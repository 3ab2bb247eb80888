"""The tables as files: cells, runs and controls, and claims and noise where they were asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from harness.analysis.controls import Controls
from harness.analysis.cost import step_s
from harness.analysis.evidence import StudyEvidence
from harness.record import RunRecord


def write(
    folder: Path,
    study: StudyEvidence,
    cells: pd.DataFrame,
    checked: Controls,
    claims: pd.DataFrame,
    noise: pd.DataFrame,
) -> None:
    folder.mkdir(exist_ok=True)
    cells.to_csv(folder / "cells.csv", index=False)
    pd.DataFrame([run_row(run) for run in study.runs]).to_csv(folder / "runs.csv", index=False)
    if not claims.empty:
        claims.to_csv(folder / "claims.csv", index=False)
    if not noise.empty:
        noise.to_csv(folder / "noise.csv", index=False)
    controls_table(checked).to_csv(folder / "controls.csv", index=False)


def run_row(run: RunRecord) -> dict[str, Any]:
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
        "loss": run.timed.loss if run.timed else first.losses[-1] if first else None,
        "accuracy": end.accuracy if end else None,
        "params": end.final["params"] if end else "",
        "predictions": end.final["predictions"] if end else "",
    }


def controls_table(checked: Controls) -> pd.DataFrame:
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
            "smallest_findable": twin.smallest_findable,
            "check": twin.in_words,
        }
        for twin in checked.twins
    ]
    positive = {"control": "positive", "check": str(checked.positive.control)}
    return pd.DataFrame([*rows, positive])
