"""``python -m harness.verify STUDY``: whether a published study says what its records say."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from harness.core.cores import usable_cores
from harness.core.exit_codes import BAD_REQUEST, DONE, FINDING
from harness.verify.answer import Answer, verify_study

WORST_LAST = (DONE, BAD_REQUEST, FINDING)


def main(words: Sequence[str]) -> int:
    """Verify every study that is named; the worst of the answers is the exit status."""
    worst = DONE
    for answer in _answers([*map(Path, words)]):
        for line in answer.lines:
            print(line, file=sys.stderr if answer.status else sys.stdout, flush=True)
        worst = max(worst, answer.status, key=WORST_LAST.index)
    return worst


def _answers(studies: Sequence[Path]) -> Iterator[Answer]:
    """Yield the answers in the order of the studies, which all cores verify."""
    together = min(len(studies), len(usable_cores()))
    if together < 2:
        yield from map(verify_study, studies)
        return
    with ProcessPoolExecutor(together, get_context("spawn")) as pool:
        yield from pool.map(verify_study, studies)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
