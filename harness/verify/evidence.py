"""Recomputes a published study from its records, and compares every file with what it holds."""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.evidence import EVIDENCE, copy_evidence
from harness.core.run_archive import ARCHIVE
from harness.core.sums import SUMS, check_sums, files_of
from harness.report.pages.render import PAGES
from harness.report.write import FOLDERS, write_report

REQUIRED = ("manifest.json", "schedule.json", ARCHIVE, SUMS)


def find_faults(folder: Path) -> list[str]:
    """Return what is wrong with a published study, or nothing. Raises UsageError."""
    if not folder.exists():
        raise UsageError(f"{folder} does not exist")
    lacking = [name for name in REQUIRED if not (folder / name).is_file()]
    if lacking:
        raise UsageError(
            f"{folder} is not a published study: it lacks {', '.join(lacking)}; "
            "`publish STUDY` makes one"
        )
    faults = list(_find_renaming(folder))
    for find in (check_sums, _find_foreign, recompute):
        try:
            faults += find(folder)
        except Exception as error:  # noqa: BLE001 - whatever damaged records may cause
            faults.append(f"{folder} cannot be read ({type(error).__name__}: {error})")
    return faults


def _find_renaming(folder: Path) -> Iterator[str]:
    """Say why all pages differ if the folder does not have the study's name."""
    report = folder / "report.md"
    text = report.read_text(encoding="utf-8", errors="replace") if report.is_file() else ""
    cited = re.search(r"study ([\w.-]+), \d{4}-\d\d-\d\d, ", text)
    if cited and cited[1] != folder.resolve().name:
        yield f"{folder} holds the study {cited[1]}: give the folder its name back"


def _find_foreign(folder: Path) -> Iterator[str]:
    """Yield what is neither evidence nor a part of the report, and could be taken for one."""
    known = {*EVIDENCE, ARCHIVE, SUMS, *PAGES.values(), *FOLDERS}
    for path in sorted(folder.iterdir()):
        if path.name not in known:
            yield f"{path} is no part of a published study"


def recompute(folder: Path) -> Iterator[str]:
    """Yield each file of the report that does not follow from the records."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / folder.resolve().name  # the report names its study by the folder
        copy_evidence(folder, copy)
        write_report(copy)
        for name in sorted(set(_report_files(folder)) | set(_report_files(copy))):
            yield from _compare(folder / name, copy / name)


def _compare(published: Path, recomputed: Path) -> Iterator[str]:
    if not recomputed.exists():
        yield f"{published} follows from no record"
    elif not published.is_file():
        yield f"{published} is missing"
    elif published.read_bytes() != recomputed.read_bytes():
        where = _first_cell(published, recomputed) if published.suffix == ".csv" else ""
        yield f"{published} does not follow from the records{where}"


def _first_cell(published: Path, recomputed: Path) -> str:
    """The first line and column in which two tables differ."""
    tables = [
        list(csv.reader(path.read_text(encoding="utf-8", errors="replace").splitlines()))
        for path in (published, recomputed)
    ]
    columns = tables[1][0] if tables[1] else []
    for line, (row, made) in enumerate(zip_longest(*tables), 1):
        if row is None or made is None:
            return f": one of them ends before line {line}"
        for column, value, expected in zip_longest(columns, row, made, fillvalue=""):
            if value != expected:
                return f": line {line}, {column}: {value!r} instead of {expected!r}"
    return ""


def _report_files(folder: Path) -> list[str]:
    made = {*PAGES.values(), *FOLDERS}
    return [name for name in files_of(folder) if name.split("/")[0] in made]
