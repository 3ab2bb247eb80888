"""The gate as a program: what it refuses, and that it judges from the records alone."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.controls import check_controls
from harness.analysis.study_data import read_study
from harness.check.options import parse_options
from harness.check.selection import select_cells
from harness.core.errors import UsageError
from tests.check.conftest import check
from tests.conftest import harness


@pytest.mark.parametrize(
    ("words", "told"),
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
def test_a_gate_that_asks_nothing_sensible_is_refused(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        parse_options(["somewhere", *words])
    assert end.value.code == 2
    assert told in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--scenario", "mlp,cnn"], "--scenario cnn: this study has mlp, indexing"),
        (["--determinism", "fulll"], "--determinism fulll: this study has none, seed, full"),
    ],
)
def test_names_that_the_study_has_not_are_refused(words: list[str], told: str, study: Path) -> None:
    with pytest.raises(UsageError, match=told):
        select_cells(
            read_study(study), parse_options([str(study), "--require", "identical", *words])
        )


def test_a_real_study_is_judged_from_its_records_alone(study: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(study, copy)
    stale = copy / "tables" / "cells.csv"
    stale.write_text(stale.read_text().replace("identical", "varies"))
    control = int(check_controls(read_study(copy)).failed)  # two blocks are few: a twin may fail
    good = check(
        tmp_path,
        "copy",
        "--require",
        "identical",
        "--scenario",
        "mlp",
        "--determinism",
        "seed,full",
    )
    assert good.returncode == control, good.stdout + good.stderr
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
    bad = check(tmp_path, "copy", "--require", "identical", "--scenario", "mlp")
    assert bad.returncode == 1
    (told,) = re.findall(r"^broken: mlp.*$", bad.stdout, re.MULTILINE)
    assert re.fullmatch(
        r"broken: mlp-none-cpu-\w+: identical: varies per call in 2 runs: before "
        r"step 1",
        told,
    )


def test_a_published_study_is_judged_alike(study: Path, tmp_path: Path) -> None:
    shutil.copytree(study, tmp_path / "results" / "mine")
    assert harness("publish", "results/mine", cwd=tmp_path).returncode == 0
    words = ("--require", "identical", "--max-cost", "1.10")
    before = check(tmp_path, "results/mine", *words)
    after = check(tmp_path, "results/published/mine", *words)
    assert (after.returncode, after.stdout) == (before.returncode, before.stdout)
    assert before.returncode == 1


def lose(folder: Path) -> None:
    path = next((folder / "runs").glob("mlp-*.trace.*.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), "outcome": "lost"}))


def empty(folder: Path) -> None:
    shutil.rmtree(folder / "runs")


@pytest.mark.parametrize(
    ("spoil", "status", "told"),
    [
        (lambda one: next((one / "runs").glob("*.trace.*")).unlink(), 3, "lacks 1 of"),
        (
            lambda one: min((one / "runs").glob("*.trace.*")).write_text("{"),
            3,
            "not a complete record",
        ),
        (lose, 3, "lacks 1 of"),
        (empty, 3, "has no records"),
        (lambda one: (one / "manifest.json").unlink(), 2, "is not a study"),
        (lambda one: (one / "manifest.json").write_text("{}"), 2, "can read (KeyError: 'cells')"),
        (lambda one: (one / "schedule.json").unlink(), 2, "can read (FileNotFoundError"),
    ],
)
def test_a_study_that_is_not_whole_is_never_judged(
    spoil: Callable[[Path], Any], status: int, told: str, study: Path, tmp_path: Path
) -> None:
    shutil.copytree(study, tmp_path / "copy")
    spoil(tmp_path / "copy")
    done = check(tmp_path, "copy", "--require", "identical")
    assert (done.returncode, done.stdout) == (status, ""), done.stdout + done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_fault_of_the_program_is_not_a_broken_requirement(study: Path, tmp_path: Path) -> None:
    shutil.copytree(study, tmp_path / "copy")
    path = tmp_path / "copy" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["software"]
    path.write_text(json.dumps(manifest))
    done = check(tmp_path, "copy", "--require", "identical")
    assert done.returncode == 3
    assert "could not be judged" in done.stderr
