"""A published study is whole, private and enough to make its report again."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from tests.conftest import harness


@pytest.fixture
def copied(study: Path, tmp_path: Path) -> Path:
    shutil.copytree(study, tmp_path / "results" / "mine")
    return tmp_path


def test_what_is_published_can_make_its_report_again(copied: Path) -> None:
    done = harness("publish", "results/mine", cwd=copied)
    assert done.returncode == 0, done.stderr
    target = copied / "results" / "published" / "mine"
    before = (target / "tables" / "cells.csv").read_text()
    shutil.rmtree(target / "tables")
    assert harness("report", "results/published/mine", cwd=copied).returncode in (0, 1)
    assert (target / "tables" / "cells.csv").read_text() == before
    assert "mine/report.md" in (target.parent / "README.md").read_text()
    assert not (target / "runs").exists()


def test_the_archive_names_nobody(copied: Path) -> None:
    harness("publish", "results/mine", cwd=copied)
    with tarfile.open(copied / "results/published/mine/runs.tar.xz") as tar:
        assert {(one.uid, one.uname, one.mtime) for one in tar.getmembers()} == {(0, "", 0)}


def test_a_private_word_stops_it(copied: Path) -> None:
    path = copied / "results" / "mine" / "report.md"
    path.write_text(path.read_text() + f"made in {copied}/results")
    done = harness("publish", "results/mine", cwd=copied)
    assert done.returncode == 2
    assert "private" in done.stderr
    assert not (copied / "results" / "published").exists()


def test_an_unfinished_study_is_not_published(copied: Path) -> None:
    next((copied / "results" / "mine" / "runs").glob("*.trace.*.json")).unlink()
    done = harness("publish", "results/mine", cwd=copied)
    assert done.returncode == 2
    assert "lacks 1 of" in done.stderr


def test_a_stamped_study_is_not_published(copied: Path) -> None:
    path = copied / "results" / "mine" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["request"]["not_for_conclusions"] = True
    path.write_text(json.dumps(manifest))
    done = harness("publish", "results/mine", cwd=copied)
    assert done.returncode == 2
    assert "not for conclusions" in done.stderr


def test_a_study_is_published_once(copied: Path) -> None:
    assert harness("publish", "results/mine", cwd=copied).returncode == 0
    again = harness("publish", "results/mine", cwd=copied)
    assert again.returncode == 2
    assert "exists already" in again.stderr


@pytest.mark.parametrize(
    ("text", "why"),
    [("api_key=c4n4ry", "a secret"), ("{here}", "private"), ("{here}/x", "private")],
)
def test_secrets_and_folders_are_not_published(text: str, why: str, copied: Path) -> None:
    path = copied / "results" / "mine" / "tables" / "runs.csv"
    path.write_text(path.read_text() + text.format(here=copied) + "\n")
    done = harness("publish", "results/mine", cwd=copied)
    assert done.returncode == 2
    assert why in done.stderr


def test_a_place_on_this_machine_is_not_published(copied: Path) -> None:
    path = copied / "results" / "mine" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["cells"][0]["cell"]["scenario"]["options"]["data"] = "/mnt/lab/patients.csv"
    path.write_text(json.dumps(manifest))
    done = harness("publish", "results/mine", cwd=copied)
    assert done.returncode == 2
    assert "uses /mnt/lab/patients.csv, a path on this machine" in done.stderr


def test_a_run_killed_from_outside_is_not_a_finished_one(copied: Path) -> None:
    path = next((copied / "results" / "mine" / "runs").glob("*.trace.*.json"))
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "outcome": "lost"}))
    done = harness("publish", "results/mine", cwd=copied)
    assert done.returncode == 2
    assert "lacks 1 of" in done.stderr
