"""Findings in the formats of GitHub Actions: annotations, and a table for the job summary.

The escape sequences are those of the toolkit of GitHub Actions:
https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from harness.check.console import format_line
from harness.check.findings import Finding

IN_DATA = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
IN_PROPERTY = IN_DATA | str.maketrans({":": "%3A", ",": "%2C"})


def annotation(finding: Finding) -> str:
    """Format an annotation; the message repeats the title, which the log does not show."""
    title = f"{finding.cell}: {finding.requirement}".translate(IN_PROPERTY)
    return f"::error title={title}::{format_line(finding).translate(IN_DATA)}"


def table(findings: Sequence[Finding], last_line: str) -> str:
    """Format a Markdown table, broken requirements first since GitHub cuts long tables below."""
    rows = [
        (finding.state, finding.cell, finding.requirement, finding.found)
        for finding in reversed(findings)
    ]
    lines = [
        "| result | cell | requirement | evidence |",
        "| --- | --- | --- | --- |",
        *("| " + " | ".join(map(_escape_cell, row)) + " |" for row in rows),
    ]
    return "\n".join(["### harness check", "", *lines, "", _escape_cell(last_line), "", ""])


def _escape_cell(text: str) -> str:
    """Escape text so that Markdown shows it verbatim, on one line."""
    escaped = html.escape(" ".join(text.split()), quote=False)
    for sign in "\\|*_`~[":
        escaped = escaped.replace(sign, f"\\{sign}")
    return escaped
