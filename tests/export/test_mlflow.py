"""A study logged to a real MLflow server with its SQLite store."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.core.exit_codes import BAD_REQUEST
from tests.conftest import Done, harness

pytestmark = [
    pytest.mark.exports,
    pytest.mark.skipif(
        find_spec("mlflow") is None, reason="MLflow is not installed: run `make test-exports`"
    ),
]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def is_up(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:  # noqa: S310
            return answer.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    words = ["server", "--backend-store-uri", f"sqlite:///{folder}/store.db"]
    words += ["--artifacts-destination", str(folder / "artifacts"), "--workers", "1"]
    words += ["--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words],
            cwd=folder,
            stdout=log,
            stderr=log,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        )
        try:
            address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 120
            while not is_up(address):
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.2)
            yield address
        finally:
            process.terminate()
            process.wait(timeout=60)


@pytest.fixture(scope="module")
def logged(study: Path, server: str) -> Done:
    return harness("mlflow", str(study), "--to", server, cwd=study.parents[1])


@pytest.fixture(scope="module")
def runs(study: Path, server: str, logged: Done) -> list[Any]:
    """All runs of the experiment, read back from the server."""
    from mlflow import MlflowClient  # noqa: PLC0415 - an extra

    assert logged.returncode == 0, logged.stderr
    client = MlflowClient(tracking_uri=server)
    return list(client.search_runs([client.get_experiment_by_name(study.name).experiment_id]))


def test_each_cell_is_a_run_with_its_numbers(study: Path, runs: list[Any]) -> None:
    """Every cell of the table is a run below that of the study, with the table's numbers."""
    table = pd.read_csv(study / "tables" / "cells.csv")
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(children) == len(table)
    ratios = sorted(
        run.data.metrics["cost_ratio"] for run in children if "cost_ratio" in run.data.metrics
    )
    assert ratios == pytest.approx(sorted(table["cost_ratio"].dropna()))
    verdicts = sorted(run.data.tags["verdict"] for run in children)
    assert verdicts == sorted(table["verdict"])


def test_the_study_is_a_run_with_its_report(server: str, study: Path, runs: list[Any]) -> None:
    """The study's own run has the report, the tables and the figures as artifacts."""
    from mlflow import MlflowClient  # noqa: PLC0415 - an extra

    (whole,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    client = MlflowClient(tracking_uri=server)
    names = {artifact.path for artifact in client.list_artifacts(whole.info.run_id)}
    assert names == {"figures", "manifest.json", "report.html", "report.md", "tables"}
    path = client.download_artifacts(whole.info.run_id, "report.html")
    assert Path(path).read_text() == (study / "report.html").read_text()


def test_a_study_is_logged_once(server: str, study: Path, logged: Done) -> None:
    """A second attempt is refused, and says what to do."""
    again = harness("mlflow", str(study), f"--to={server}", cwd=study.parents[1])
    assert again.returncode == BAD_REQUEST
    assert "holds this study already; delete its runs" in again.stderr


def test_a_server_that_is_not_there_is_named(study: Path) -> None:
    """Without a server, the error names the address that did not answer."""
    address = f"http://127.0.0.1:{free_port()}"
    done = harness(
        *("mlflow", str(study), "--to", address),
        cwd=study.parents[1],
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
    )
    assert done.returncode == BAD_REQUEST
    assert f"{address} did not take the study" in done.stderr
