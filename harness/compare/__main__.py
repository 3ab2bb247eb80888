"""``python -m harness.compare STUDY STUDY …``: are the bits of two studies the same?"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.analysis.study_data import StudyData, read_study
from harness.compare.cells import Answer, SharedCell, compare, find_unlike, has_trusted_costs
from harness.core.errors import UsageError
from harness.core.exit_codes import BAD_REQUEST, DONE, FINDING
from harness.core.files import write_text
from harness.core.run_archive import opened
from harness.report.console import open_console, safe
from harness.report.format import DASH, join_words, plural

STYLES = {Answer.same: "green", Answer.differ: "magenta", Answer.varies: "yellow"}


def main(words: Sequence[str]) -> int:
    try:
        return _compare(words)
    except UsageError as error:
        print(f"harness: {error}", file=sys.stderr)
        return BAD_REQUEST


def _compare(words: Sequence[str]) -> int:
    console = open_console()
    target, paths = _split_target(words)
    studies = [_read(Path(word)) for word in paths]
    names = _names(studies, [*map(Path, paths)])
    numbers = combinations(range(len(studies)), 2)
    pairs = {(a, b): compare(studies[a], studies[b]) for a, b in numbers}
    for (a, b), cells in pairs.items():
        console.print(f"[bold]{safe(names[a])} (first) and {safe(names[b])} (second)[/]")
        _print(console, cells)
        for line in find_unlike(studies[a], studies[b]):
            console.print(f"  not compared: {safe(line)}")
    for name, study in zip(names, studies, strict=True):
        if not has_trusted_costs(study):
            console.print(f"a control of {safe(name)} failed: do not trust its costs")
    if not any(pairs.values()):
        raise UsageError("no cell is in two of these studies")
    if target is not None:
        from harness.compare.matrix import draw_matrix  # noqa: PLC0415 - slow to import

        figure = draw_matrix(names, pairs)
        path = target / f"{figure.name}.svg"
        write_text(path, str(figure.svg))
        console.print(f"figure: {safe(str(path))}")
    differ = any(cell.answer is Answer.differ for cells in pairs.values() for cell in cells)
    return FINDING if differ else DONE


def _split_target(words: Sequence[str]) -> tuple[Path | None, list[str]]:
    """The folder of `--figure=FOLDER`, and the studies. Raises UsageError."""
    options = [word for word in words if word.startswith("--")]
    for option in options:
        name, _, folder = option.partition("=")
        if name != "--figure" or not folder or not Path(folder).is_dir():
            raise UsageError(f"{option}: the only option is --figure=FOLDER; FOLDER must exist")
    target = Path(options[-1].partition("=")[2]) if options else None
    return target, [word for word in words if word not in options]


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


def _names(studies: Sequence[StudyData], paths: Sequence[Path]) -> list[str]:
    """Their names; with that of the parent where two targets, say, have the same name."""
    known = Counter(study.name for study in studies)
    return [
        f"{path.resolve().parent.name}/{study.name}" if known[study.name] > 1 else study.name
        for study, path in zip(studies, paths, strict=True)
    ]


def _print(console: Console, cells: Sequence[SharedCell]) -> None:
    if not cells:
        console.print("  no cell in common")
        return
    counts = Counter(cell.answer for cell in cells)
    found = ", ".join(f"{answer}: {counts[answer]}" for answer in Answer if counts[answer])
    console.print(f"{plural(len(cells), 'cell')} in common ({found})")
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
    _print_table(console, cells)
    for reason, number in Counter(text for cell in cells for text in cell.reasons).items():
        console.print(f"  possible reason: {safe(reason)}, {plural(number, 'cell')}")
    unexplained = [c for c in cells if c.answer is Answer.differ and not c.reasons]
    if unexplained:
        console.print(
            f"  nothing that was recorded explains {plural(len(unexplained), 'cell')}: run "
            "`diagnose` on one of them"
        )


def _print_table(console: Console, cells: Sequence[SharedCell]) -> None:
    """The cells side by side, with costs and distances, if any of these is known."""
    known = [cell for cell in cells if cell.distance or set(cell.costs) != {DASH}]
    if not known:
        return
    table = Table(box=None, header_style="bold")
    for heading in ("scenario", "determinism", "bits", "cost in first", "in second", "distance"):
        table.add_column(heading)
    for cell in known:
        row = (cell.scenario, cell.setting, cell.answer, *cell.costs, cell.distance or DASH)
        table.add_row(*map(safe, row))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
