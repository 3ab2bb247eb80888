"""Findings as lines for a terminal or a log, and the summary line that follows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.analysis.study_data import StudyData
from harness.check.findings import ORDER, Finding, State
from harness.check.selection import Selection
from harness.report.format import plural


def format_line(finding: Finding) -> str:
    """Format a finding as one line, even if the message of a training has several."""
    text = f"{finding.state}: {finding.cell}: {finding.requirement}: {finding.found}"
    return " ".join(text.split())


def _describe_counts(findings: Sequence[Finding]) -> str:
    counts = Counter(finding.state for finding in findings)
    words = {state: str(state) for state in ORDER}
    if counts[State.holds] > 1:
        words[State.holds] = "hold"
    return ", ".join(f"{counts[state]} {words[state]}" for state in ORDER if counts[state])


def summarize_factors(study: StudyData, findings: Sequence[Finding]) -> str:
    factors = plural(len(findings), "factor")
    return f"check: {factors} of {study.name}: {_describe_counts(findings)}"


def summary(study: StudyData, selection: Selection, findings: Sequence[Finding]) -> str:
    cells = plural(len(selection.cells), "cell")
    text = f"check: {cells} of {study.name}: {_describe_counts(findings)}"
    if selection.left_out:
        text += f"; excluded unless named: {' '.join(cell.id for cell in selection.left_out)}"
    if study.manifest["request"]["not_for_conclusions"]:
        text += "; this matrix is a smoke test: not for conclusions"
    return text
