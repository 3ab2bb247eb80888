"""Runs the report and the gate in separate processes, since they import pandas."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.core.command_line import command
from harness.core.errors import ReportError
from harness.core.exit_codes import BAD_REQUEST, DONE, FAILED, FINDING, RUNS_FAILED
from harness.core.protocol import module_command
from harness.study.child_process import environment

# What reports and the gate need: where a CI runner collects what it shows, and the width of the
# terminal.
VARIABLES = ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "COLUMNS")


def report(study: Path, options: Sequence[str] = ()) -> int:
    """Makes the report and prints its summary; returns FAILED if a control failed, else DONE.

    Returns BAD_REQUEST for wrong options. Raises ReportError if no report could be made.
    """
    status = _run_module("harness.report", [str(study), *options])
    if status == BAD_REQUEST:
        return status
    if status not in (DONE, FINDING):
        raise ReportError(
            "the report could not be made; all runs are kept. Try again with:\n"
            f"  {command(['report', str(study)])}"
        )
    return FAILED if status == FINDING else DONE


def check(words: Sequence[str]) -> int:
    """Runs the gate with these arguments; returns FAILED if a requirement is not met.

    Raises ReportError if the gate itself fails.
    """
    status = _run_module("harness.check", words)
    if status not in (DONE, BAD_REQUEST, RUNS_FAILED, FINDING):
        raise ReportError(
            f"the study could not be judged (status {status}); please report this as a bug, "
            "with the output above"
        )
    return FAILED if status == FINDING else status


def verify(words: Sequence[str]) -> int:
    """Recomputes published studies; returns FAILED if one does not follow from its records.

    Raises ReportError if that was not possible.
    """
    return _answer("harness.verify", words)


def compare(words: Sequence[str]) -> int:
    """Compares studies; returns FAILED if a cell has other bits. Raises ReportError."""
    return _answer("harness.compare", words)


def site(published: Path, target: Path) -> int:
    """Writes a site of published studies into a folder. Raises ReportError."""
    return _answer("harness.site", [str(published), str(target)])


def export(words: Sequence[str]) -> int:
    """Logs a study to a server, for which it sees this process's variables. Raises ReportError."""
    return _answer("harness.export", words, os.environ)


def _answer(module: str, words: Sequence[str], variables: Mapping[str, str] = {}) -> int:
    status = _run_module(module, words, variables)
    if status not in (DONE, BAD_REQUEST, FINDING):
        raise ReportError(
            f"{module} failed with status {status}; please report this as a bug, with the output "
            "above"
        )
    return FAILED if status == FINDING else status


def _run_module(module: str, words: Sequence[str], variables: Mapping[str, str] = {}) -> int:
    shown = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    variables = environment({**shown, **variables})
    return subprocess.run(module_command(module, *words), check=False, env=variables).returncode
