"""``python -m harness.check STUDY --require …``: check a study from its records, as a CI gate."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from harness.check import github, junit
from harness.check.console import format_line, summarize_factors, summary
from harness.check.dependence import find_dependence
from harness.check.findings import State, find_all
from harness.check.options import parse_options
from harness.check.preconditions import load_finished_study
from harness.check.selection import select_cells
from harness.core.errors import UnfinishedError, UsageError
from harness.core.exit_codes import BAD_REQUEST, DONE, FINDING, RUNS_FAILED
from harness.report.job_summary import append_summary


def main(words: Sequence[str]) -> int:
    try:
        return _run_check(words)
    except UsageError as error:
        print(f"harness: {error}", file=sys.stderr)
        return BAD_REQUEST
    except UnfinishedError as error:
        print(f"harness: {error}", file=sys.stderr)
        return RUNS_FAILED


def _run_check(words: Sequence[str]) -> int:
    gate = parse_options(words)
    study = load_finished_study(gate.study)
    if gate.depends_only_on is None:
        selection = select_cells(study, gate)
        findings = find_all(study, selection.cells, gate)
        last_line = summary(study, selection, findings)
    else:
        findings = find_dependence(study, gate.depends_only_on)
        last_line = summarize_factors(study, findings)
    for finding in findings:
        annotate = gate.github and finding.state is State.broken
        print(github.annotation(finding) if annotate else format_line(finding))
    print(last_line)
    append_summary(github.table(findings, last_line))
    if gate.junit:
        junit.write_junit(gate.junit, study, gate, findings)
    return FINDING if any(finding.state is State.broken for finding in findings) else DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
