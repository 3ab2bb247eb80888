"""`verify` recomputes a published study, and finds any change to it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core.exit_codes import FINDING
from harness.core.record import load_record
from harness.core.run_archive import ARCHIVE, pack, unpack
from harness.core.sums import SUMS, write_sums
from harness.verify.__main__ import main
from tests.conftest import Done, command


@pytest.fixture(scope="module")
def original(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project in which the study is published."""
    project = tmp_path_factory.mktemp("published")
    shutil.copytree(study, project / "results" / "mine")
    done = command("publish", "results/mine", "--force", cwd=project)
    assert done.returncode == 0, done.stderr
    return project


@pytest.fixture
def published(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original / "results/published", tmp_path / "results/published")
    return tmp_path / "results/published/mine"


def verify(published: Path) -> Done:
    return command("results/published/mine", cwd=published.parents[2], program=main)


def test_a_published_study_verifies(published: Path) -> None:
    """All of its files follow from its records; without a name, every published study is meant."""
    done = verify(published)
    assert done.returncode == 0, done.stderr
    assert "results/published/mine: verified" in done.stdout
    assert command("verify", cwd=published.parents[2]).returncode == 0


def change_digit(path: Path, column: str) -> None:
    """Change the last digit of the first number in a column of a table."""
    header, row, *rest = path.read_text().splitlines()
    values, index = row.split(","), header.split(",").index(column)
    assert values[index][-1].isdigit()
    values[index] = values[index][:-1] + str((int(values[index][-1]) + 1) % 10)
    path.write_text("\n".join([header, ",".join(values), *rest]) + "\n")


def change_record(published: Path) -> None:
    """Change how long a training took, in its record inside the archive."""
    scratch = published.parent / "scratch"
    unpack(published / ARCHIVE, scratch)
    path = next(scratch.glob("runs/*.timing.*.json"))
    document = json.loads(path.read_text())
    arm = document["arms"][0] if document["arms"] else document
    arm["timed"]["counted_s"] *= 1.01
    path.write_text(json.dumps(document))
    load_record(path)
    pack(scratch, [f"runs/{file.name}" for file in scratch.glob("runs/*")], published / ARCHIVE)
    shutil.rmtree(scratch)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "digit": (
        lambda study: change_digit(study / "tables/cells.csv", "trace_runs"),
        "cells.csv does not follow from the records: line 2, trace_runs: ",
    ),
    "page": (
        lambda study: (study / "report.md").write_text("# All is well.\n"),
        "report.md does not follow from the records",
    ),
    "figure": (
        lambda study: next(study.glob("figures/*.svg")).write_text("<svg/>"),
        ".svg does not follow from the records",
    ),
    "record": (change_record, "runs.csv does not follow from the records: line "),
    "added": (
        lambda study: (study / "tables/more.csv").write_text("a\n1\n"),
        "more.csv follows from no record",
    ),
    "removed": (lambda study: (study / "tables/runs.csv").unlink(), "runs.csv is missing"),
}


@pytest.mark.parametrize(
    ("kind", "hidden"), [("digit", False), *((kind, True) for kind in CHANGES)]
)
def test_a_changed_study_does_not_verify(published: Path, kind: str, hidden: bool) -> None:
    """A single changed digit is found, even by whoever lists new digests of all files."""
    change, expected = CHANGES[kind]
    change(published)
    if hidden:
        write_sums(published)
    done = verify(published)
    assert done.returncode == FINDING
    assert expected in done.stderr
    assert (SUMS in done.stderr) is not hidden


def test_a_renamed_study_is_told_its_name(published: Path) -> None:
    """A report names its study by the folder, so another name is the first thing said."""
    published.rename(published.with_name("renamed"))
    done = command("results/published/renamed", cwd=published.parents[2], program=main)
    assert done.returncode == FINDING
    assert done.stderr.startswith("results/published/renamed holds the study mine: give the folder")


@pytest.mark.parametrize("name", ["latex/results.tex", "runs/a.json", "index.html"])
def test_a_foreign_file_is_a_fault(published: Path, name: str) -> None:
    """A table or page that nothing recomputes does not pass, even if SHA256SUMS lists it."""
    (published / name).parent.mkdir(exist_ok=True)
    (published / name).write_text("full costs 0 %")
    write_sums(published)
    done = verify(published)
    assert done.returncode == FINDING
    assert f"{name.split('/', maxsplit=1)[0]} is no part of a published study" in done.stderr


def test_an_escape_in_a_list_is_not_printed(published: Path) -> None:
    """A name in SHA256SUMS reaches the terminal without what it would obey."""
    with (published / SUMS).open("a") as file:
        file.write(f"{'a' * 64}  x\x1b]0;owned\x07\x1b[2J\n")
    assert "\x1b" not in verify(published).stderr


def test_what_is_not_published_is_refused(study: Path) -> None:
    """A study that was not published has nothing to compare with."""
    done = command(str(study), cwd=study, program=main)
    assert done.returncode == 2
    assert f"is not a published study: it lacks {ARCHIVE}, {SUMS}" in done.stderr


def test_a_published_study_is_published_again(published: Path) -> None:
    """`publish` of a published study makes its report again and verifies; the index quotes it."""
    (published / "report.md").write_text("# All is well.\n")
    done = command("publish", "results/published/mine", cwd=published.parents[2])
    assert done.returncode == 0, done.stderr
    assert verify(published).returncode == 0
    headline = (published / "report.md").read_text().splitlines()[0].removeprefix("# ")
    assert f"| {headline} |" in (published.parent / "README.md").read_text()
