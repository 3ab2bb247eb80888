"""``python -m harness.export STUDY --to URI``: log a finished study to an MLflow server."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.exit_codes import BAD_REQUEST, DONE
from harness.report.format import plural, printable

TRACKING = "MLFLOW_TRACKING_URI"
SETTINGS = {  # of MLflow, which reads them when it is imported
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # of seven, which take minutes
}


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m harness mlflow")
    parser.add_argument("study", type=Path)
    parser.add_argument(
        "--to", default=os.environ.get(TRACKING), help=f"address of the server; default: {TRACKING}"
    )
    asked = parser.parse_args(words)
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        if not asked.to:
            raise UsageError(f"name the server: --to http://host:5000, or set {TRACKING}")
        if not asked.study.is_dir():
            raise UsageError(f"{asked.study} is no study: it is no folder")
        if find_spec("mlflow") is None:
            raise UsageError("MLflow is not installed: pip install 'determinism-harness[mlflow]'")
        from harness.export.mlflow_log import log_study  # noqa: PLC0415 - mlflow is an extra

        experiment, cells = log_study(asked.study, asked.to)
    except UsageError as error:
        print(f"harness: {printable(str(error))}", file=sys.stderr)
        return BAD_REQUEST
    print(f"mlflow: {asked.to}/#/experiments/{experiment} ({plural(cells, 'cell')})")
    return DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
