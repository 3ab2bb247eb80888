"""A study as an MLflow experiment: a run for the study, with its report, and one for each cell."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Experiment, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from harness.analysis.study_data import StudyData
from harness.core.errors import UsageError
from harness.core.evidence import LinkError, copy_evidence
from harness.core.place import cite, describe_device
from harness.core.redact import mask_secrets
from harness.report.format import printable
from harness.report.write import Report, write_report

STUDY_TAG = "determinism_harness.study"
PARAMETERS = ("scenario", "determinism", "device", "noise", "overrides", "baseline", "same_as")
TAGS = ("cell", "role", "twin", "verdict", "verdict_wording", "first_component", "cost", "note")


def log_study(folder: Path, address: str) -> tuple[str, int]:
    """Log a study; return the id of its experiment, and the number of cells.

    The report is made anew from the records, in a copy. An experiment of the study's name is made
    if there is none. Raises UsageError if it holds the study already, if the study cannot be read,
    or if the server refuses.
    """
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / folder.resolve().name
        try:
            copy_evidence(folder, copy)
            report = write_report(copy)
        except (OSError, LinkError, ValueError, LookupError, TypeError) as error:
            raise UsageError(f"{folder} cannot be read as a study: {error}") from error
        try:
            client = MlflowClient(tracking_uri=address)
            experiment = _empty_experiment(client, report.study)
            _log(client, experiment.experiment_id, report, copy)
        except MlflowException as error:
            raise UsageError(f"{address} did not take the study: {error.message}") from error
    return str(experiment.experiment_id), len(report.cells)


def _empty_experiment(client: MlflowClient, study: StudyData) -> Experiment:
    known = client.get_experiment_by_name(study.name)
    if known is None:
        return client.get_experiment(client.create_experiment(study.name))
    runs = client.search_runs([known.experiment_id], "tags.mlflow.parentRunId IS NULL")
    if any(run.data.tags.get(STUDY_TAG) == study.name for run in runs):
        raise UsageError(
            f"the experiment {study.name} holds this study already; delete its runs in MLflow to "
            "log it again"
        )
    return known


def _log(client: MlflowClient, experiment: str, report: Report, folder: Path) -> None:
    """Log all parts, and the tag of the study last: without it, the log was interrupted."""
    study = report.study
    whole = client.create_run(experiment, run_name=study.name).info.run_id
    for row in report.cells.to_dict("records"):
        _log_cell(client, experiment, whole, {str(key): value for key, value in row.items()})
    for name in ("tables", "figures"):
        client.log_artifacts(whole, str(folder / name), name)
    for name in ("report.html", "report.md", "manifest.json"):
        client.log_artifact(whole, str(folder / name))
    tags = {
        STUDY_TAG: study.name,
        "mlflow.note.content": "\n\n".join(report.content.headlines),
        "citation": cite(study.name, study.manifest),
        "machine": describe_device(study.manifest),
        "torch": study.manifest["software"]["torch"],
        "controls": "failed" if report.has_failed_control else "no failure",
    }
    client.log_batch(whole, tags=_tags(tags))
    client.set_terminated(whole, "FAILED" if report.has_failed_control else "FINISHED")


def _log_cell(client: MlflowClient, experiment: str, whole: str, row: Mapping[str, Any]) -> None:
    twin = " (A/A twin)" * bool(row["twin"])
    name = f"{row['scenario']}, {row['determinism']}{twin}"
    run = client.create_run(
        experiment, run_name=name, tags={"mlflow.parentRunId": whole}
    ).info.run_id
    metrics = [
        Metric(column, float(value), 0, 0) for column, value in row.items() if _is_metric(value)
    ]
    client.log_batch(
        run,
        metrics=metrics,
        params=[Param(column, _text(row[column])) for column in PARAMETERS if row[column]],
        tags=_tags({column: str(row[column]) for column in TAGS}),
    )
    client.set_terminated(run, "FAILED" if row["verdict"] == "failed" else "FINISHED")


def _is_metric(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _tags(values: Mapping[str, str]) -> list[RunTag]:
    return [RunTag(name, _text(value)) for name, value in values.items() if value]


def _text(value: Any) -> str:
    return printable(mask_secrets(str(value)))
