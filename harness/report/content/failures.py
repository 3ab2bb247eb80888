"""Why cells failed, for the terminal: the training's own error, its log, and common remedies."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from harness.analysis.study_data import StudyData
from harness.core.redact import redact
from harness.core.verdict import Verdict
from harness.report.content.cell_caveats import because

REMEDIES = {
    r"FileNotFoundError|No such file": (
        "runs see a copy of the working directory: start the command where the file is found, or "
        "link its folder with 'scenario.data=[...]'"
    ),
    r"git\b.*status 128|not a git repository": (
        "runs see a copy of the working directory, without .git: let the script go on without it"
    ),
    r"<frozen os>[\s\S]*KeyError": (
        "runs see few of your variables: type those that the script needs before it, as in "
        "`-- NAME=value python train.py`"
    ),
    r"EOFError": "runs have no standard input: pass what the script asks for as arguments",
    r"ModuleNotFoundError|No module named": (
        "install the module into the environment that runs the harness"
    ),
    r"URLError|ConnectionError|MaxRetryError|Name or service not known|name resolution": (
        "download what the training needs before the study, and let it read the local copy"
    ),
}


def describe_failures(folder: Path, study: StudyData, cells: pd.DataFrame) -> list[str]:
    """Return a sentence for each failed cell in the table, which has labels."""
    sentences = []
    for row in cells[(cells["verdict"] == Verdict.failed) & ~cells["twin"]].to_dict("records"):
        runs = study.by_id(row["same_as"] or row["cell"]).all_runs
        failed = next((run for run in runs if run.outcome.failed), None)
        if failed is None:
            continue
        log = folder / "logs" / f"{failed.process}.log"
        has_log = log.is_file() and not log.is_symlink()
        where = f" Log: {log}." if has_log else ""
        if "SystemExit" in failed.reason and has_log:  # such as argparse's, which prints why
            where = f" It printed last: {_last_line(log)}{where}"
        remedy = next(
            (
                f" Remedy: {text}."
                for cause, text in REMEDIES.items()
                if re.search(cause, failed.message)
            ),
            "",
        )
        sentences.append(
            f"{row['scenario']} under {row['determinism']}: {failed.outcome}"
            f"{because(failed).rstrip('.')}"
            f"{_place(failed.message)}.{where}{remedy}"
        )
    return sentences


def _place(traceback: str) -> str:
    """The last line of the script's own files in a traceback, which shortens their paths."""
    places = re.findall(r'File "\./(.+?)", line (\d+)', traceback)
    return f", at {places[-1][0]}:{places[-1][1]}" if places else ""


def _last_line(log: Path) -> str:
    return redact(log.read_text(errors="replace").rstrip().rpartition("\n")[2])
