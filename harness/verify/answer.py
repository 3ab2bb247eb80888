"""What `verify` says of one study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.exit_codes import BAD_REQUEST, DONE, FINDING
from harness.core.run_archive import BadArchiveError, opened
from harness.report.format import printable
from harness.verify.evidence import find_faults

MOST_FAULTS = 20  # told of one study


@dataclass(frozen=True)
class Answer:
    status: int  # for the exit status
    lines: list[str]


def verify_study(study: Path) -> Answer:
    try:
        with opened(study) as folder:
            faults = find_faults(folder)
    except (UsageError, BadArchiveError) as error:
        return Answer(BAD_REQUEST, [f"harness: {printable(str(error))}"])
    if not faults:
        follows = "verified; tables, figures and pages follow from its records"
        return Answer(DONE, [f"{study}: {follows}"])
    lines = [printable(fault) for fault in faults[:MOST_FAULTS]]
    if len(faults) > MOST_FAULTS:
        lines.append(f"and {len(faults) - MOST_FAULTS} more")
    return Answer(FINDING, [*lines, f"{study}: NOT verified"])
