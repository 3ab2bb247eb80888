"""A user's scenario: two files in any folder, and nothing private in its records."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import SMALL, command, harness, study_of

OWN = (
    "from dataclasses import dataclass\n"
    "from harness.scenarios import mlp\n"
    "@dataclass(frozen=True)\n"
    "class Options:\n"
    "    data: str = ''\n"
    "    api_token: str = ''\n"
    "def build(options, context):\n"
    "    assert options.data.startswith('/'), options.data\n"
    "    return mlp.build(mlp.Options(steps=3), context)\n"
)


def own(folder: Path, name: str) -> None:
    (folder / "mine" / "scenario").mkdir(parents=True)
    (folder / "mine" / "scenario" / f"{name}.py").write_text(OWN)
    (folder / "mine" / "scenario" / f"{name}.yaml").write_text(
        f"# My own.\nname: {name}\nuses_loader: false\ndata: ''\napi_token: ''\n"
    )


def write_wide(tmp_path: Path) -> Path:
    folder = tmp_path / "mine" / "scenario"
    folder.mkdir(parents=True)
    (folder / "wide.yaml").write_text("# My own net.\nname: wide\nuses_loader: false\nwidth: 3\n")
    (folder / "helper_of_wide.py").write_text("STEPS = 4\n")
    (folder / "wide.py").write_text(
        "from dataclasses import dataclass\n"
        "from harness.scenarios import mlp\n"
        "from helper_of_wide import STEPS\n"
        "@dataclass(frozen=True)\n"
        "class Options:\n"
        "    width: int = 3\n"
        "def build(options, context):\n"
        "    return mlp.build(mlp.Options(width=options.width, steps=STEPS), context)\n"
    )
    return folder


@pytest.fixture(scope="module")
def wide_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cwd = tmp_path_factory.mktemp("wide")
    write_wide(cwd)
    words = ["--config-dir", "mine", "scenario=wide", "scenario.width=5", "timing.warmup=1", *SMALL]
    return study_of(harness(*words, cwd=cwd), cwd)


@pytest.mark.slow
def test_a_users_scenario_is_one_yaml_and_one_file(wide_study: Path) -> None:
    """It runs from --config-dir, and may import its neighbors."""
    assert (wide_study / "tables" / "cells.csv").read_text().count("wide") >= 3


@pytest.mark.slow
def test_a_users_scenario_that_does_not_fit_is_refused_with_its_own_message(
    wide_study: Path, tmp_path: Path
) -> None:
    """A wrong option, an import that fails, and a program that has changed since are named."""
    folder = write_wide(tmp_path)
    study = shutil.copytree(wide_study, tmp_path / "study")
    bad = command("--config-dir", "mine", "scenario=wide", "scenario.width=x", cwd=tmp_path)
    assert bad.returncode == 2
    assert "must be of type int" in bad.stderr
    (folder / "wide.py").write_text("raise ImportError('no such luck')\n")
    broken = command("--config-dir", "mine", "scenario=wide", cwd=tmp_path)
    assert broken.returncode == 2
    assert "no such luck" in broken.stderr
    changed = command("resume", str(study), cwd=tmp_path)
    assert changed.returncode == 2


def test_a_users_scenario_cannot_take_the_name_of_a_shipped_one(tmp_path: Path) -> None:
    """A scenario named `cnn` is refused."""
    own(tmp_path, "cnn")
    done = command("--config-dir", "mine", "scenario=cnn", cwd=tmp_path)
    assert done.returncode == 2
    assert "scenario 'cnn' is built in and cannot be redefined in" in done.stderr


@pytest.mark.slow
def test_no_record_contains_a_home_folder_or_a_secret(tmp_path: Path) -> None:
    """The training gets the path of a canary home folder, the records get `~`."""
    home = tmp_path / "c4n4ry"
    (home / "work").mkdir(parents=True)
    own(home / "work", "kept")
    words = ["--config-dir", "mine", "scenario=kept", f"scenario.data={home}/set"]
    done = harness(
        *words, *SMALL, "runs.timing=0", "study.baseline=null", cwd=home / "work", HOME=str(home)
    )
    study = study_of(done, home / "work")
    assert done.returncode == 0, done.stdout + done.stderr
    written = [path for path in study.rglob("*") if path.is_file()]
    assert not [path for path in written if b"c4n4ry" in path.read_bytes()]
    words.append("scenario.api_token=hunter2hunter2")
    refused = command(*words, cwd=home / "work", HOME=str(home))
    assert refused.returncode == 2
    assert "scenario.api_token looks like a secret" in refused.stderr
    assert "hunter2" not in refused.stderr


@pytest.mark.slow
def test_a_scenario_that_imports_the_old_protocol_gets_the_new_name(tmp_path: Path) -> None:
    """`scenarios.base` was the name of the protocol before it became public."""
    own(tmp_path, "kept")
    path = tmp_path / "mine" / "scenario" / "kept.py"
    path.write_text("from scenarios.base import Training\n" + path.read_text())
    done = command("--config-dir", "mine", "scenario=kept", cwd=tmp_path)
    assert done.returncode == 2
    assert "import harness.scenario instead of scenarios.base" in done.stderr
