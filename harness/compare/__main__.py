"""``python -m harness.compare STUDY STUDY …``: are the bits of two studies the same?"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from harness.analysis.study_data import StudyData, read_study
from harness.compare.cells import Answer, SharedCell, compare
from harness.core.errors import UsageError
from harness.core.exit_codes import BAD_REQUEST, DONE, FINDING
from harness.core.run_archive import opened
from harness.report.console import open_console, safe
from harness.report.format import join_words, plural

STYLES = {Answer.same: "green", Answer.differ: "magenta", Answer.varies: "yellow"}


def main(words: Sequence[str]) -> int:
    try:
        return _compare(words)
    except UsageError as error:
        print(f"harness: {error}", file=sys.stderr)
        return BAD_REQUEST


def _compare(words: Sequence[str]) -> int:
    console = open_console()
    differ = False
    first, *others = [_read(Path(word)) for word in words]
    for other in others:
        cells = compare(first, other)
        if not cells:
            raise UsageError(f"{first.name} and {other.name} have no cell in common")
        _print(console, first, other, cells)
        differ |= any(cell.answer is Answer.differ for cell in cells)
    return FINDING if differ else DONE


def _read(path: Path) -> StudyData:
    """A study in a folder, or in a bundle. Raises UsageError."""
    try:
        with opened(path) as folder:
            study = read_study(folder)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{path} is not a study or bundle that this version can read "
            f"({type(error).__name__}: {error})"
        ) from error
    return study


def _print(
    console: Console, first: StudyData, second: StudyData, cells: Sequence[SharedCell]
) -> None:
    counts = Counter(cell.answer for cell in cells)
    found = ", ".join(f"{counts[answer]} {answer}" for answer in Answer if counts[answer])
    console.print(
        f"[bold]{safe(first.name)} and {safe(second.name)}[/]: {plural(len(cells), 'cell')} in "
        f"common: {found}"
    )
    groups: dict[tuple[Answer, str, str], list[str]] = {}
    for cell in cells:
        if cell.answer is not Answer.same:
            key = (cell.answer, f"{cell.scenario} on {cell.device}", cell.where)
            groups.setdefault(key, []).append(f"`{cell.setting}`")
    for (answer, scenario, where), settings in groups.items():
        place = f"first difference: {where}" if answer is Answer.differ else where
        console.print(
            f"[{STYLES.get(answer, 'dim')}]{answer}[/]: {safe(scenario)} under "
            f"{safe(join_words(settings))}; {safe(place)}"
        )
    for reason, number in Counter(text for cell in cells for text in cell.reasons).items():
        console.print(f"  {safe(reason)}: {plural(number, 'cell')}")
    unexplained = [c for c in cells if c.answer is Answer.differ and not c.reasons]
    if unexplained:
        console.print(
            f"  nothing that was recorded explains {plural(len(unexplained), 'cell')}: run "
            "`diagnose` on one of them"
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
