"""``python -m harness.verify STUDY``: whether a published study says what its records say."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.exit_codes import BAD_REQUEST, DONE, FINDING
from harness.core.run_archive import BadArchiveError, opened
from harness.report.format import printable
from harness.verify.evidence import find_faults

WORST_LAST = (DONE, BAD_REQUEST, FINDING)
MOST_FAULTS = 20  # printed of one study


def main(words: Sequence[str]) -> int:
    """Verify every study that is named; the worst of the answers is the exit status."""
    answers = []
    for word in words:
        try:
            answers.append(_verify(Path(word)))
        except UsageError as error:
            print(f"harness: {printable(str(error))}", file=sys.stderr)
            answers.append(BAD_REQUEST)
    return max(answers, key=WORST_LAST.index)


def _verify(study: Path) -> int:
    try:
        with opened(study) as folder:
            faults = find_faults(folder)
    except BadArchiveError as error:
        raise UsageError(str(error)) from error
    if not faults:
        print(f"{study}: verified; tables, figures and pages follow from its records")
        return DONE
    for fault in faults[:MOST_FAULTS]:
        print(printable(fault), file=sys.stderr)
    if len(faults) > MOST_FAULTS:
        print(f"and {len(faults) - MOST_FAULTS} more", file=sys.stderr)
    print(f"{study}: NOT verified", file=sys.stderr)
    return FINDING


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
