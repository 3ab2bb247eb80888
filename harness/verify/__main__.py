"""``python -m harness.verify STUDY``: whether a published study says what its records say."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.exit_codes import BAD_REQUEST, DONE, FINDING
from harness.verify.evidence import find_faults

MOST_FAULTS = 20  # printed of one study


def main(words: Sequence[str]) -> int:
    try:
        return max(_verify(Path(word)) for word in words)
    except UsageError as error:
        print(f"harness: {error}", file=sys.stderr)
        return BAD_REQUEST


def _verify(folder: Path) -> int:
    faults = find_faults(folder)
    if not faults:
        print(f"{folder}: verified; tables, figures and pages follow from its records")
        return DONE
    for fault in faults[:MOST_FAULTS]:
        print(fault, file=sys.stderr)
    if len(faults) > MOST_FAULTS:
        print(f"and {len(faults) - MOST_FAULTS} more", file=sys.stderr)
    print(f"{folder}: NOT verified", file=sys.stderr)
    return FINDING


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
