"""Reports and the gate, made in processes of their own, since they import pandas."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.core.errors import ReportError
from harness.core.exit_codes import BAD_REQUEST, DONE, FAILED, FINDING, RUNS_FAILED
from harness.study.child_process import environment, module_command

# Where a CI runner collects annotations, and how wide a terminal is.
CHECK_VARIABLES = ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "COLUMNS")


def report(study: Path) -> int:
    """Makes the report; returns FAILED where a control failed.

    Raises ReportError where no report could be made.
    """
    status = _run_module("harness.report", [str(study)])
    if status not in (DONE, FINDING):
        raise ReportError(
            "the report could not be made; the runs are kept. Try again with:\n"
            f"  python -m harness report {study}"
        )
    return FAILED if status == FINDING else DONE


def check(words: Sequence[str]) -> int:
    """Judges a study; returns FAILED where a requirement does not hold.

    Raises ReportError where the gate itself failed.
    """
    visible = {name: os.environ[name] for name in CHECK_VARIABLES if name in os.environ}
    status = _run_module("harness.check", words, visible)
    if status not in (DONE, BAD_REQUEST, RUNS_FAILED, FINDING):
        raise ReportError(
            f"the study could not be judged (status {status}); please report this as a bug, "
            "with the output above"
        )
    return FAILED if status == FINDING else status


def _run_module(module: str, words: Sequence[str], variables: Mapping[str, str] = {}) -> int:
    command = module_command(module, *words)
    return subprocess.run(command, check=False, env=environment(variables)).returncode
