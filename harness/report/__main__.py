"""``python -m harness.report STUDY``: write the report from the records of the study alone."""

from __future__ import annotations

import argparse
import gc
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.exit_codes import BAD_REQUEST, DONE, FINDING, RUNS_FAILED
from harness.core.files import write_text
from harness.report.content.basis import describe_unobserved
from harness.report.content.failures import describe_failures
from harness.report.format import printable
from harness.report.job_summary import append_summary
from harness.report.pages import terminal
from harness.report.pages.render import first_screen
from harness.report.write import DEFAULT, FORMATS, write_report


def main(words: Sequence[str]) -> int:
    """Write the report, print its summary unless it shall be quiet, and return the exit status."""
    asked = _parse(words)
    try:
        return _report(asked.study, asked.quiet, asked.format.split(","))
    except UsageError as error:
        print(f"harness: {printable(str(error))}", file=sys.stderr)
        return BAD_REQUEST
    except Exception as error:  # noqa: BLE001 - whatever damaged records may cause
        log = asked.study / "report-error.log"
        write_text(log, traceback.format_exc())
        print(f"harness: {type(error).__name__}: {printable(str(error))} ({log})", file=sys.stderr)
        return RUNS_FAILED


def _report(folder: Path, quiet: bool, formats: Sequence[str]) -> int:
    if not any(formats):
        raise UsageError(f"--format needs a value, of {', '.join(FORMATS)}")
    if unknown := [name for name in formats if name not in FORMATS]:
        raise UsageError(f"--format {unknown[0]}: the formats are {', '.join(FORMATS)}")
    report = write_report(folder, formats)
    if not quiet:
        terminal.print_summary(
            report.content,
            describe_failures(folder, report.study, report.cells),
            describe_unobserved(report.study, report.cells),
        )
        append_summary(f"{first_screen(report.content)}\n")
    return FINDING if report.has_failed_control else DONE


def _parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m harness report")
    parser.add_argument("study", type=Path)
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--format", default=",".join(DEFAULT))
    return parser.parse_args(words)


if __name__ == "__main__":
    gc.disable()  # of millions of records' parts none is garbage before the end
    sys.exit(main(sys.argv[1:]))
