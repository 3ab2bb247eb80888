"""``python -m harness.report STUDY``: write the report from the records of the study alone."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

from harness.core.exit_codes import DONE, FINDING
from harness.report import terminal
from harness.report.basis import describe_unobserved
from harness.report.failures import describe_failures
from harness.report.write import write_report


def main(folder: Path, quiet: bool = False) -> int:
    gc.disable()  # of millions of records' parts none is garbage before the end
    report = write_report(folder)
    if not quiet:
        terminal.print_summary(
            report.content,
            describe_failures(folder, report.study, report.cells),
            describe_unobserved(report.study, report.cells),
        )
    return FINDING if report.has_failed_control else DONE


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), quiet="--quiet" in sys.argv[2:]))
