"""The findings as a GitHub runner reads them: annotations, and a table for the job's summary.

The escapes are those of the runner's own toolkit:
https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts
"""

from __future__ import annotations

import html
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.check.console import format_line
from harness.check.findings import Finding

IN_DATA = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
IN_PROPERTY = IN_DATA | str.maketrans({":": "%3A", ",": "%2C"})


def annotation(finding: Finding) -> str:
    """The title stands on the annotation only, the log shows the message: so that has it all."""
    title = f"{finding.cell}: {finding.requirement}".translate(IN_PROPERTY)
    return f"::error title={title}::{format_line(finding).translate(IN_DATA)}"


def append_summary(path: Path, found: Sequence[Finding], end: str) -> None:
    """The gate has decided by then: where there is no such file, that is told and no more."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(table(found, end))
    except OSError as error:
        print(
            f"harness: GITHUB_STEP_SUMMARY={path} cannot be written: {error.strerror}",
            file=sys.stderr,
        )


def table(found: Sequence[Finding], end: str) -> str:
    """What is broken comes first: a long table is cut from below."""
    rows = [(one.state, one.cell, one.requirement, one.found) for one in reversed(found)]
    lines = [
        "| result | cell | requirement | found |",
        "| --- | --- | --- | --- |",
        *("| " + " | ".join(map(_escape_cell, row)) + " |" for row in rows),
    ]
    return "\n".join(["### harness check", "", *lines, "", _escape_cell(end), "", ""])


def _escape_cell(text: str) -> str:
    """Words as they are: on one line, with no column, tag or emphasis of their own."""
    plain = html.escape(" ".join(text.split()), quote=False)
    for sign in "\\|*_`~[":
        plain = plain.replace(sign, f"\\{sign}")
    return plain
