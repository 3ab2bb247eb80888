"""``python -m harness.report STUDY``: write the report from the records of the study alone."""

from __future__ import annotations

import gc
import sys
import traceback
from pathlib import Path

from harness.core.exit_codes import DONE, FINDING, RUNS_FAILED
from harness.core.files import write_text
from harness.report.content.basis import describe_unobserved
from harness.report.content.failures import describe_failures
from harness.report.format import printable
from harness.report.pages import terminal
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
    study = Path(sys.argv[1])
    try:
        sys.exit(main(study, quiet="--quiet" in sys.argv[2:]))
    except Exception as error:  # noqa: BLE001 - whatever damaged records may cause
        log = study / "report-error.log"
        write_text(log, traceback.format_exc())
        print(f"harness: {type(error).__name__}: {printable(str(error))} ({log})", file=sys.stderr)
        sys.exit(RUNS_FAILED)
