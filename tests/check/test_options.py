"""The gate as a program: what it refuses, and that it judges by the records alone."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.study_data import read_study
from harness.check.options import parse_options, split_options
from harness.check.selection import select_cells
from harness.core.errors import UsageError
from harness.core.exit_codes import FINDING
from tests.check.conftest import check, judge
from tests.conftest import command


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no requirement: use --require identical, --max-cost 1.10, or both"),
        (["--require", "same"], "choose from 'identical', 'varies'"),
        (["--require", "failed"], "invalid choice"),
        (["--require", "identical", "--min-runs", "1"], "at least 2"),
        (["--require", "varies", "--min-runs", "5"], "--min-runs needs --require identical"),
        (["--max-cost", "0.99"], "0.99: expected a ratio of at least 1"),
        (["--max-cost", "nan"], "at least 1"),
        (["--max-cost", "inf"], "at least 1"),
        (["--max-cost", "10%"], "at least 1"),
        (["--max-cost", "2", "--scenario", ""], "a name, or several"),
        (["--max-cost", "2", "--scenarios", "mlp"], "unrecognized"),
    ],
)
def test_invalid_requirements_are_refused(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing or invalid requirements end the program with status 2 and a message."""
    with pytest.raises(SystemExit) as end:
        parse_options(["somewhere", *words])
    assert end.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scenario", "mlp,cnn"], "--scenario cnn: this study has mlp, indexing"),
        (["--determinism", "fulll"], "--determinism fulll: this study has none, seed, full"),
    ],
)
def test_unknown_names_are_refused(words: list[str], message: str, study: Path) -> None:
    """A scenario or setting that the study lacks is refused, with the names that it has."""
    with pytest.raises(UsageError, match=message):
        select_cells(
            read_study(study), parse_options([str(study), "--require", "identical", *words])
        )


def test_a_real_study_is_judged_from_its_records_alone(study: Path, tmp_path: Path) -> None:
    """The gate reads only the records, so an edited table changes no finding."""
    copy = tmp_path / "copy"
    shutil.copytree(study, copy)
    stale = copy / "tables" / "cells.csv"
    stale.write_text(stale.read_text().replace("identical", "varies"))
    words = ["copy", "--require", "identical", "--min-runs", "2", "--scenario", "mlp"]
    good = check(tmp_path, *words, "--determinism", "seed,full")
    assert good.returncode == 0, good.stdout + good.stderr
    assert (
        len(
            re.findall(
                r"^holds: mlp-(?:seed|full)-cpu-\w+: identical: no difference seen in "
                r"2 runs \(.* 95 %, at 95 % confidence\)$",
                good.stdout,
                re.MULTILINE,
            )
        )
        == 2
    )
    bad = check(tmp_path, *words)
    assert bad.returncode == 1
    (line,) = re.findall(r"^broken: mlp-none-.*$", bad.stdout, re.MULTILINE)
    assert re.fullmatch(
        r"broken: mlp-none-cpu-\w+: identical: varies per call in 2 runs: "
        r"all 2 processes differ; before step 1",
        line,
    )


def test_a_published_study_is_judged_the_same(study: Path, tmp_path: Path) -> None:
    """Publishing a study changes neither the gate's output nor its status."""
    shutil.copytree(study, tmp_path / "results" / "mine")
    # a twin of two blocks may fail by chance
    assert command("publish", "results/mine", "--force", cwd=tmp_path).returncode == 0
    words = ("--require", "identical", "--max-cost", "1.10")
    before = judge(tmp_path, "results/mine", *words)
    after = judge(tmp_path, "results/published/mine", *words)
    assert (after.returncode, after.stdout) == (before.returncode, before.stdout)
    assert before.returncode == FINDING


def mark_lost(folder: Path) -> None:
    path = next((folder / "runs").glob("mlp-*.trace.*.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), "outcome": "lost"}))


def remove_runs(folder: Path) -> None:
    shutil.rmtree(folder / "runs")


@pytest.mark.parametrize(
    ("damage", "status", "message"),
    [
        (lambda folder: next((folder / "runs").glob("*.trace.*")).unlink(), 3, "lacks 1 of"),
        (
            lambda folder: min((folder / "runs").glob("*.trace.*")).write_text("{"),
            3,
            "not a complete record",
        ),
        (mark_lost, 3, "lacks 1 of"),
        (remove_runs, 3, "has no records"),
        (lambda folder: (folder / "manifest.json").unlink(), 2, "is not a study"),
        (
            lambda folder: (folder / "manifest.json").write_text("{}"),
            2,
            "manifest.json does not describe a study (KeyError: 'cells')",
        ),
        (lambda folder: (folder / "schedule.json").unlink(), 2, "can read (FileNotFoundError"),
    ],
)
def test_an_incomplete_study_is_not_judged(
    damage: Callable[[Path], Any], status: int, message: str, study: Path, tmp_path: Path
) -> None:
    """A study that lacks records or files ends the gate with a message and no findings."""
    shutil.copytree(study, tmp_path / "copy")
    damage(tmp_path / "copy")
    done = judge(tmp_path, "copy", "--require", "identical")
    assert (done.returncode, done.stdout) == (status, ""), done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_an_internal_error_is_not_a_broken_requirement(study: Path, tmp_path: Path) -> None:
    """An unexpected error ends the gate with another status than a broken requirement."""
    shutil.copytree(study, tmp_path / "copy")
    path = tmp_path / "copy" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["software"]
    path.write_text(json.dumps(manifest))
    done = check(tmp_path, "copy", "--require", "identical")
    assert done.returncode == 3
    assert "could not be judged" in done.stderr


def test_options_of_the_gate_stand_among_overrides() -> None:
    """Before `--`, what begins with dashes is the gate's, with its value; what follows is not."""
    words = "--require identical runs.trace=2 -m --github --max-cost=1.1 device=cpu"
    options, rest = split_options([*words.split(), "--", "python", "train.py", "--require", "x"])
    assert options == ["--require", "identical", "--github", "--max-cost=1.1"]
    assert rest == "runs.trace=2 -m device=cpu -- python train.py --require x".split()


@pytest.mark.parametrize(
    ("options", "overrides", "message"),
    [
        (("--require", "identical", "--min-runs", "10"), ("runs.trace=3",), "needs 10 runs"),
        (("--max-cost", "1.1"), ("runs.timing=0",), "--max-cost needs timing runs"),
    ],
)
def test_a_gate_that_no_study_can_pass_is_refused_before_it_runs(
    options: tuple[str, ...], overrides: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    """Too few runs for the requirement are an error of the request, and nothing is trained."""
    (tmp_path / "train.py").touch()
    done = check(tmp_path, *options, *overrides, "--", "python", "train.py")
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_a_command_is_run_and_checked(tmp_path: Path) -> None:
    """A script that varies breaks the requirement that it must not; a wrong option runs nothing."""
    (tmp_path / "train.py").write_text("import os\nprint(os.urandom(4))\n")
    words = ["device=cpu", "runs.trace=2", "runs.timing=0", "study.control=null"]
    program = ["--", "python", "train.py"]
    wrong = check(tmp_path, "--require", "nothing", *words, *program)
    assert wrong.returncode == 2
    assert not (tmp_path / "results").exists()
    done = check(tmp_path, "--require", "identical", "--min-runs", "2", *words, *program)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "varies" in done.stdout
    assert "broken: " in done.stdout
