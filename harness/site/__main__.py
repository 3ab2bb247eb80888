"""``python -m harness.site PUBLISHED TARGET``: a static site of all published studies."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.exit_codes import BAD_REQUEST, DONE
from harness.report.format import plural, printable
from harness.site.build import build_site


def main(words: Sequence[str]) -> int:
    published, target = map(Path, words)
    try:
        site = build_site(published, target)
    except UsageError as error:
        print(f"harness: {printable(str(error))}", file=sys.stderr)
        return BAD_REQUEST
    for folder in site.unreadable:
        why = "it cannot be read, or was changed since it was published"
        print(f"left out: {printable(str(folder))}: {why}", file=sys.stderr)
    print(
        f"site: {target / 'index.html'} ({plural(len(site.studies), 'study')}, "
        f"{plural(len(site.facts), 'fact')}, {plural(len(site.trends), 'trend')})"
    )
    return DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
