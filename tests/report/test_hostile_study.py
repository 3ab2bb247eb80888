"""Studies from elsewhere are data: faults are named, and nothing else is touched."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.study_data import read_study
from harness.core.exit_codes import DONE, FINDING, RUNS_FAILED
from harness.report.__main__ import main
from tests.conftest import Done, command

Change = Callable[[Path], object]
OUTSIDE = "a file outside of the study"
ESCAPES = "\x1b]0;owned\x07\x1b[2J\u202e"


@pytest.fixture
def copied(study: Path, tmp_path: Path) -> Path:
    """A copy of the study, beside a file that no report may touch."""
    (tmp_path / "outside").write_text(OUTSIDE)
    shutil.copytree(study, tmp_path / "it")
    return tmp_path / "it"


def report(study: Path) -> Done:
    done = command(str(study), cwd=study.parent, program=main)
    assert (study.parent / "outside").read_text() == OUTSIDE
    assert "\x1b" not in done.stdout + done.stderr
    assert {path.name for path in study.parent.iterdir()} == {"outside", "it"}
    return done


def a_record(study: Path, kind: str = "trace") -> Path:
    """A record of an `mlp` run under `seed`; of a timing run, one of its own."""
    return min((study / "runs").glob(f"*.{kind}.*.json"))


def edit(path: Path, *keys: Any, value: Any) -> None:
    """Replace the value under these keys of a JSON file."""
    document = json.loads(path.read_text())
    place = document
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path.write_text(json.dumps(document))


def in_trace(*keys: Any, value: Any) -> Change:
    return lambda study: edit(a_record(study), *keys, value=value)


def in_timing(name: str, value: Any) -> Change:
    """Change what a timing run found, of its first arm if it has several."""

    def change(study: Path) -> None:
        path = a_record(study, "timing")
        arms = json.loads(path.read_text())["arms"]
        edit(path, *(["arms", 0] if arms else []), "timed", name, value=value)

    return change


def as_text(text: str) -> Change:
    return lambda study: a_record(study).write_text(text)


def huge(study: Path) -> None:
    with a_record(study).open("wb") as file:
        file.truncate(2**30)


BAD_RECORDS: dict[str, tuple[Change, str]] = {
    "newer schema": (in_trace("schema", value=99), "schema 99"),
    "text for a time": (in_timing("counted_s", "12"), "counted_s is of the wrong type"),
    "infinite time": (in_timing("counted_s", float("inf")), "not a complete record"),
    "no time": (in_timing("counted_s", 0), "it counts no time or no steps"),
    "negative steps": (in_timing("counted_steps", -5), "it counts no time or no steps"),
    "text for steps": (in_timing("step_s", "fast"), "step_s is of the wrong type"),
    "objects for losses": (in_trace("repeats", 0, "losses", value=[{}]), "losses is of the wrong"),
    "number for a digest": (in_trace("repeats", 0, "final", value={"params": 1}), "final is of"),
    "list for a number": (in_trace("wall_s", value=[1]), "wall_s is of the wrong type"),
    "object for a message": (in_trace("message", value={"a": 1}), "message is of the wrong type"),
    "another outcome": (in_trace("outcome", value="fine"), "not a complete record"),
    "unknown field": (in_trace("evil", value=1), "not a complete record"),
    "list": (as_text("[]"), "not a complete record"),
    "null": (as_text("null"), "not a complete record"),
    "deep": (as_text("[" * 200_000 + "]" * 200_000), "not a complete record"),
    "other encoding": (lambda study: a_record(study).write_bytes(b"\xff\xfe{"), "not a complete"),
    "another run's": (in_trace("run_id", value="../../outside"), "is the record of run"),
    "one gigabyte": (huge, "1,073,741,824 bytes; a record has at most"),
}


@pytest.mark.parametrize(("change", "problem"), BAD_RECORDS.values(), ids=BAD_RECORDS)
def test_a_bad_record_is_listed(copied: Path, change: Change, problem: str) -> None:
    """The study is read without it, and the file and the fault are noted."""
    change(copied)
    (note,) = read_study(copied).unreadable
    assert problem in note


def test_what_is_noted_stands_in_the_warnings(copied: Path) -> None:
    """The report is made without a record that is not one, and says so."""
    a_record(copied).write_text("[]")
    done = report(copied)
    assert done.returncode != RUNS_FAILED, done.stderr
    page = (copied / "report.md").read_text()
    assert "is not a complete record" in page[page.index("## Warnings") :]


def in_manifest(name: str, value: Any) -> Change:
    return lambda study: edit(study / "manifest.json", name, value=value)


BAD_STUDIES: dict[str, tuple[Change, str]] = {
    "newer manifest": (in_manifest("schema", 99), "schema 99"),
    "no cells": (in_manifest("cells", {"a": 1}), "manifest.json does not describe a study"),
    "cells of text": (in_manifest("cells", ["x"]), "manifest.json does not describe a study"),
    "no machine": (in_manifest("machine", None), "Error"),
    "schedule of numbers": (
        lambda study: (study / "schedule.json").write_text("7"),
        "no list of runs",
    ),
}


@pytest.mark.parametrize(("change", "problem"), BAD_STUDIES.values(), ids=BAD_STUDIES)
def test_a_bad_study_is_refused_in_one_line(copied: Path, change: Change, problem: str) -> None:
    """Without a readable manifest or schedule there is one line and no traceback."""
    change(copied)
    done = report(copied)
    assert done.returncode != 0
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


def link(name: str, target: str) -> Change:
    def change(study: Path) -> None:
        path = study / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        path.symlink_to(target)

    return change


@pytest.mark.parametrize(
    "name", ["report.html", "report.md", "tables/cells.csv", "figures/cost.svg"]
)
def test_a_link_is_replaced_not_followed(copied: Path, name: str) -> None:
    """A link in the place of a file that the report writes leads nowhere."""
    link(name, str(copied.parent / "outside"))(copied)
    assert report(copied).returncode in (DONE, FINDING)  # a twin may fail by chance
    assert not (copied / name).is_symlink()


@pytest.mark.parametrize("name", ["tables", "figures"])
def test_a_link_for_a_folder_is_refused(copied: Path, name: str) -> None:
    """A folder of the report that is a link is named, and nothing is written behind it."""
    (copied.parent / "outside-folder").mkdir()
    link(name, str(copied.parent / "outside-folder"))(copied)
    done = command(str(copied), cwd=copied.parent, program=main)
    assert done.returncode == RUNS_FAILED
    assert f"{name} is a link" in done.stderr
    assert not list((copied.parent / "outside-folder").iterdir())


FORMULAS = ["=HYPERLINK(1)", "+1+cmd|' /C calc'!A0", "@SUM(1)"]


def test_a_formula_is_text_in_a_table(copied: Path) -> None:
    """A spreadsheet shows a name that begins like a formula, and does not compute it."""
    cells = json.loads((copied / "manifest.json").read_text())["cells"]
    for index in range(len(cells)):
        label = FORMULAS[index % len(FORMULAS)]
        edit(copied / "manifest.json", "cells", index, "cell", "scenario", "label", value=label)
    assert report(copied).returncode in (DONE, FINDING)  # a twin may fail by chance
    with (copied / "tables" / "cells.csv").open(newline="") as file:
        names = {row["scenario"] for row in csv.DictReader(file)}
    assert {f"'{formula}" for formula in FORMULAS} <= names
    assert not any(name.startswith(("=", "+", "@")) for name in names)


@pytest.mark.parametrize("text", [ESCAPES, "a\nb", "\ud800"])
def test_what_a_terminal_obeys_is_not_printed(copied: Path, text: str) -> None:
    """Control characters of names, messages and commands reach neither terminal nor page."""
    manifest = copied / "manifest.json"
    edit(manifest, "words", value=[text])
    edit(manifest, "cells", 0, "cell", "scenario", "label", value=f"mlp{text}")
    edit(a_record(copied), "message", value=text)
    report(copied)
    for name in ("report.md", "report.html", "tables/cells.csv"):
        assert not set("\x1b\x07\u202e") & set((copied / name).read_text())
