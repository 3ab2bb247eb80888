"""A study's folder is checked before it is used, and `resume` compares programs."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from harness.core.spec import Scenario
from harness.core.spec_json import to_json
from harness.study.manifest import EQUAL_PROGRAMS
from harness.worker.scenario_check import hash_sources
from tests.conftest import ALONE, command

EQUAL = tomllib.loads(EQUAL_PROGRAMS.read_text())


@pytest.mark.parametrize("name", EQUAL)
def test_a_reworded_program_is_still_the_one_that_was_verified(name: str) -> None:
    """`now` is its digest; after a change, verify its bits again or drop the line."""
    assert hash_sources([to_json(Scenario(name, name, {}))]) == {name: EQUAL[name]["now"]}


@pytest.mark.parametrize("subcommand", ["resume", "report", "publish"])
@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("manifest.json", "[]", "manifest.json is damaged: it lacks harness, words"),
        ("manifest.json", '{"words": []}', "manifest.json is damaged: it lacks harness, request"),
        ("manifest.json", "{", "manifest.json is not valid JSON"),
        ("schedule.json", None, "it has no schedule.json"),
        ("schedule.json", "[", "schedule.json is not valid JSON"),
    ],
)
def test_a_damaged_study_is_refused(
    subcommand: str, name: str, text: str | None, message: str, study: Path, tmp_path: Path
) -> None:
    """The message names the file and what is wrong with it."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for other in ("manifest.json", "schedule.json"):
        (copy / other).write_text((study / other).read_text())
    (copy / name).unlink() if text is None else (copy / name).write_text(text)
    done = command(subcommand, "copy", cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_study_cannot_be_written_into_a_file(tmp_path: Path) -> None:
    """study.dir must not be a file."""
    (tmp_path / "notes.txt").write_text("mine")
    done = command("study.dir=notes.txt", *ALONE, cwd=tmp_path)
    assert done.returncode == 2
    assert "notes.txt is a file; choose a new folder" in done.stderr


def test_another_program_is_not_resumed(study: Path, tmp_path: Path) -> None:
    """A digest that is neither the program's nor listed as equal is named."""
    copy = tmp_path / "copy"
    copy.mkdir()
    manifest = json.loads((study / "manifest.json").read_text())
    (copy / "schedule.json").write_text((study / "schedule.json").read_text())
    (copy / "runs").mkdir()
    manifest["sources"]["mlp"] = EQUAL["cnn"]["before"][0]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    done = command("resume", "copy", cwd=tmp_path)
    assert done.returncode == 2
    assert "program of scenario mlp was" in done.stderr
