"""The findings in a terminal or a log, a line each, and the line that sums them up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.analysis.study_data import StudyData
from harness.check.findings import ORDER, Finding, State, plural
from harness.check.selection import Selection

WORDS = {State.holds: "hold", State.skipped: "skipped", State.broken: "broken"}


def format_line(finding: Finding) -> str:
    """On one line, whatever a training's message holds."""
    text = f"{finding.state}: {finding.cell}: {finding.requirement}: {finding.found}"
    return " ".join(text.split())


def _describe_counts(found: Sequence[Finding]) -> str:
    counts = Counter(one.state for one in found)
    return ", ".join(f"{counts[state]} {WORDS[state]}" for state in ORDER if counts[state])


def summary(study: StudyData, choice: Selection, found: Sequence[Finding]) -> str:
    text = f"check: {plural(len(choice.cells), 'cell')} of {study.name}: {_describe_counts(found)}"
    if choice.left_out:
        text += f"; left out unless named: {' '.join(one.id for one in choice.left_out)}"
    if study.manifest["request"]["not_for_conclusions"]:
        text += "; this matrix only tries whether everything works: not for conclusions"
    return text
