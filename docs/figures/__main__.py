"""Recomputes the numbers of the README and of docs/findings/ from published records.

`make verify-figures` makes every study's tables again from its records, fills each sentence with
their numbers, and looks for it on the page. It fails if a page says anything else, does not name
the study, or has a number that is in no sentence.
"""

from __future__ import annotations

import sys

from docs.figures.page import numbers, uncovered, words
from docs.figures.sentences import DOCS, README, SECTIONS

ROOT = DOCS.parent
PAGES = (README, *sorted((DOCS / "findings").glob("*.md")))
TRANSLATION = ROOT / "README.zh-CN.md"


def check() -> list[str]:
    """What is wrong with the pages; empty if every number is recomputed."""
    sentences = [sentence for make in SECTIONS for sentence in make()]
    faults = []
    for sentence in sentences:
        page = sentence.page.read_text(encoding="utf-8")
        name = sentence.page.relative_to(ROOT)
        if words(sentence.text) not in words(page):
            faults.append(f"{name} does not say, as {sentence.source} does: {sentence.text}")
        if sentence.source not in page:
            faults.append(f"{name} does not name its source {sentence.source}")
    for path in PAGES:
        own = [sentence.text for sentence in sentences if sentence.page == path]
        faults += [
            f"{path.relative_to(ROOT)} has a number that nothing recomputes: {line}"
            for line in uncovered(path.read_text(encoding="utf-8"), own)
        ]
    original = set(numbers(README.read_text(encoding="utf-8")))
    return faults + [
        f"{TRANSLATION.name} has a number that {README.name} lacks: {number}"
        for number in numbers(TRANSLATION.read_text(encoding="utf-8"))
        if number not in original
    ]


def main() -> int:
    faults = check()
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        print("every number of the README and of docs/findings/ was recomputed from its records")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
