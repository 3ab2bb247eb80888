"""A published study is complete, contains nothing private and can be reported again."""

from __future__ import annotations

import contextlib
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.study.folder import StudyFolder
from harness.study.publish import refresh
from tests.conftest import command


@pytest.fixture
def project(study: Path, tmp_path: Path) -> Path:
    shutil.copytree(study, tmp_path / "results" / "mine")
    set_twins(tmp_path, 1.0)  # of two blocks, a twin fails by chance in one study of twenty
    return tmp_path


def set_twins(project: Path, ratio: float) -> None:
    """Let every twin take this multiple of its baseline's time."""
    for path in (project / "results/mine/runs").glob("*.timing.*.json"):
        record = json.loads(path.read_text())
        arms = list(zip(record["spec"]["arms"], record["arms"], strict=True))
        (twin,) = (done["timed"] for arm, done in arms if arm["twin"])
        (baseline,) = (
            done["timed"]
            for arm, done in arms
            if arm["cell"]["setting"] == "seed" and not arm["twin"]
        )
        twin["counted_steps"] = baseline["counted_steps"]
        twin["counted_s"] = ratio * baseline["counted_s"]
        path.write_text(json.dumps(record))


def change_manifest(project: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = project / "results" / "mine" / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def assert_refused(project: Path, reason: str) -> None:
    done = command("publish", "results/mine", cwd=project)
    assert done.returncode == 2
    assert reason in done.stderr


@pytest.mark.slow
def test_a_published_study_can_be_reported_again(project: Path) -> None:
    """The tables made from the archive equal the deleted ones, and the index lists the report."""
    done = command("publish", "results/mine", cwd=project)
    assert done.returncode == 0, done.stderr
    target = project / "results" / "published" / "mine"
    before = (target / "tables" / "cells.csv").read_text()
    shutil.rmtree(target / "tables")
    assert command("report", "results/published/mine", cwd=project).returncode in (0, 1)
    assert (target / "tables" / "cells.csv").read_text() == before
    assert "mine/report.md" in (target.parent / "README.md").read_text()
    assert not (target / "runs").exists()


@pytest.mark.slow
def test_the_archive_contains_no_users_or_times(project: Path) -> None:
    """Every member of the archive has user ID 0, no user name and time 0."""
    command("publish", "results/mine", cwd=project)
    with tarfile.open(project / "results/published/mine/runs.tar.xz") as tar:
        assert {(entry.uid, entry.uname, entry.mtime) for entry in tar.getmembers()} == {(0, "", 0)}


def test_an_unfinished_study_is_not_published(project: Path) -> None:
    """A study that lacks the record of one run is refused."""
    next((project / "results" / "mine" / "runs").glob("*.trace.*.json")).unlink()
    assert_refused(project, "lacks 1 of")


@pytest.mark.slow
def test_force_publishes_an_unfinished_study_and_says_so(project: Path) -> None:
    """The index counts the records of a study that lacks one, and the report warns of it."""
    next((project / "results" / "mine" / "runs").glob("*.trace.*.json")).unlink()
    done = command("publish", "results/mine", "--force", cwd=project)
    assert done.returncode == 0, done.stderr
    published = project / "results" / "published"
    planned = len(json.loads((published / "mine" / "schedule.json").read_text()))
    assert f"| {planned - 1} of {planned} |" in (published / "README.md").read_text()
    assert f"1 of {planned} runs are not done" in (published / "mine" / "report.md").read_text()


@pytest.mark.slow
def test_a_failed_control_is_published_only_by_force(project: Path) -> None:
    """A study whose A/A twins failed is refused, and marked if forced."""
    set_twins(project, 1.5)
    assert_refused(project, "a control of results/mine failed")
    assert command("publish", "results/mine", "--force", cwd=project).returncode == 0
    index = (project / "results" / "published" / "README.md").read_text()
    assert "positive: passed; A/A twins: 2 failed" in index


@pytest.mark.slow
def test_the_index_names_the_study_that_replaces_another(project: Path) -> None:
    """A line of superseded.toml becomes a link in the row of the older study."""
    published = project / "results" / "published"
    (published / "yours").mkdir(parents=True)
    (published / "superseded.toml").write_text('mine = "yours"\n')
    assert command("publish", "results/mine", cwd=project).returncode == 0
    assert "[yours](yours/report.md)" in (published / "README.md").read_text()


def test_a_study_not_for_conclusions_is_not_published(project: Path) -> None:
    """A study whose manifest is marked as not for conclusions is refused."""
    change_manifest(project, lambda manifest: manifest["request"].update(not_for_conclusions=True))
    assert_refused(project, "not for conclusions")


@pytest.mark.slow
def test_a_study_is_published_only_once(project: Path) -> None:
    """Publishing the same study again is refused."""
    assert command("publish", "results/mine", cwd=project).returncode == 0
    assert_refused(project, "exists already")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("api_key=c4n4ry", "a secret"),
        ("{here}", "private"),
        pytest.param("{here}/results", "private", marks=pytest.mark.slow),
    ],
)
def test_secrets_and_folders_are_not_published(text: str, reason: str, project: Path) -> None:
    """A study whose command has a secret or the path of the folder is refused, with no trace."""
    change_manifest(project, lambda manifest: manifest["words"].append(text.format(here=project)))
    assert_refused(project, reason)
    assert [path.name for path in (project / "results").iterdir()] == ["mine"]


def test_a_record_with_a_private_path_is_not_published(project: Path) -> None:
    """A path of this machine in a record is found, though records are compressed."""
    path = min((project / "results/mine/runs").glob("*.trace.*.json"))
    record = json.loads(path.read_text())
    record["spec"]["environment"]["DATA"] = f"{project}/patients.csv"
    path.write_text(json.dumps(record))
    assert_refused(project, f"the record {path.name} contains")


@pytest.mark.parametrize("name", ["my study", "-study", ".study", "a" * 101, "a#b", "<b>"])
def test_a_name_that_cannot_be_an_address_is_refused(project: Path, name: str) -> None:
    """It would be no link, and no archive holds such a name."""
    (project / "results/mine").rename(project / "results" / name)
    done = command("publish", f"results/{name}", "--force", cwd=project)
    assert done.returncode == 2
    assert "rename it" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_refresh_keeps_the_study(
    project: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """Whatever ends the second of two renames, the published study is where it was."""
    assert command("publish", "results/mine", cwd=project).returncode == 0
    before = (project / "results/published/mine/report.md").read_text()
    rename = Path.rename

    def interrupted(path: Path, target: Path) -> Path:
        if ".publish-" in str(path):
            raise error
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", interrupted)
    with contextlib.chdir(project), pytest.raises(error):
        refresh(StudyFolder(Path("results/published/mine")))
    assert (project / "results/published/mine/report.md").read_text() == before
    assert not list((project / "results/published").glob(".*"))


def test_an_option_with_a_local_path_is_not_published(project: Path) -> None:
    """A study with a scenario option outside the repository is refused, and the path is named."""

    def change(manifest: dict[str, Any]) -> None:
        manifest["cells"][0]["cell"]["scenario"]["options"]["data"] = "/mnt/lab/patients.csv"

    change_manifest(project, change)
    assert_refused(project, "uses /mnt/lab/patients.csv, a path on this machine")


def test_a_link_is_not_published(project: Path, tmp_path: Path) -> None:
    """A study whose files lead elsewhere is refused, and the link is named."""
    secret = tmp_path / "key"
    secret.write_text("{}")
    (project / "results/mine/budget.json").symlink_to(secret)
    assert_refused(project, "budget.json is a link")


def test_a_changed_study_is_not_published_again(project: Path) -> None:
    """New sums would hide that its evidence is not what was published."""
    assert command("publish", "results/mine", cwd=project).returncode == 0
    path = project / "results/published/mine/manifest.json"
    path.write_text(path.read_text() + " ")
    done = command("publish", "results/published/mine", cwd=project)
    assert done.returncode == 2
    assert "manifest.json was changed" in done.stderr


def test_a_lost_run_is_not_a_finished_one(project: Path) -> None:
    """A study in which one run was killed from outside is refused as incomplete."""
    path = next((project / "results" / "mine" / "runs").glob("*.trace.*.json"))
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "outcome": "lost"}))
    assert_refused(project, "lacks 1 of")
