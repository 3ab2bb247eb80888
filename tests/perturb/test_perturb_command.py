"""perturb in real processes: the planted factors and no others, in an ordinary study."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.core.exit_codes import BAD_REQUEST, FAILED
from tests.conftest import ROOT, Done, harness, study_of

# The bits of every training: its first weights are random, and its sums are vectorized.
ALWAYS = {"seed_torch", "instruction_set"}
FEW = ["device=cpu", "perturb.runs=6", "perturb.most=5"]


def perturb(folder: Path, on: str, *words: str) -> Done:
    shutil.copy(ROOT / "tests" / "perturb" / "planted.py", folder)
    return harness("perturb", *FEW, *words, "--", "python", "planted.py", f"--on={on}", cwd=folder)


def answer_of(done: Done, folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((study_of(done, folder) / "dependence.json").read_text())
    return document


def named(answer: dict[str, Any]) -> set[str]:
    return {name for name, one in answer["factors"].items() if one["finding"] == "depends"}


@pytest.mark.slow
def test_planted_factors_are_named_and_no_others(tmp_path: Path) -> None:
    """Of a group that is varied together, one that the program undoes at its end among them.

    What reads back unchanged, as does the result, is not called independent.
    """
    done = perturb(tmp_path, "umask,undo", "perturb.factors=[umask,home,loader_workers]")
    assert done.returncode == 0, done.stdout + done.stderr
    answer = answer_of(done, tmp_path)
    assert named(answer) == {"umask"}
    assert answer["factors"]["home"]["finding"] == "no dependence seen"
    assert answer["factors"]["loader_workers"]["finding"] == "not varied"
    assert "depend on: umask." in done.stdout.replace("\n", " ")
    report = (study_of(done, tmp_path) / "report.md").read_text()
    assert "| umask | depends | the umask 077: " in report
    assert (study_of(done, tmp_path) / "figures" / "dependence.svg").is_file()


@pytest.mark.long
def test_factors_that_matter_only_together_are_named_together(tmp_path: Path) -> None:
    """Neither has an effect alone."""
    factors = "perturb.factors=[umask,host_name,home]"
    done = perturb(tmp_path, "umask+host_name", factors)
    assert done.returncode == 0, done.stdout + done.stderr
    answer = answer_of(done, tmp_path)
    (difference,) = answer["differences"]
    assert {word.partition(":")[0] for word in difference["words"]} == {"umask", "host_name"}
    assert "matter only together" in done.stdout


@pytest.mark.long
def test_a_training_that_never_agrees_hides_its_factors(tmp_path: Path) -> None:
    """No factor is called independent, and the way to go on is printed."""
    done = perturb(tmp_path, "always", "perturb.factors=[umask,home]", "perturb.pairs=3")
    assert done.returncode == FAILED, done.stdout + done.stderr
    found = {one["finding"] for one in answer_of(done, tmp_path)["factors"].values()}
    assert found == {"inconclusive"}
    assert "harness diagnose" in done.stdout


@pytest.mark.long
def test_a_gate_runs_perturb_and_fails_on_what_is_not_allowed(tmp_path: Path) -> None:
    """The line names the factor and its evidence."""
    shutil.copy(ROOT / "tests" / "perturb" / "planted.py", tmp_path)
    words = ["--depends-only-on", "seed", *FEW, "perturb.factors=[umask,time_zone,seed_torch]"]
    done = harness("check", *words, "--", "python", "planted.py", "--on=umask", cwd=tmp_path)
    assert done.returncode == FAILED, done.stdout + done.stderr
    assert "umask: must not matter: depends: " in done.stdout
    assert "time_zone: must not matter: " in done.stdout
    assert "seed_torch: must not matter" not in done.stdout  # it is allowed


def test_an_unknown_factor_is_refused(tmp_path: Path) -> None:
    """With the names that are allowed, before anything runs."""
    done = perturb(tmp_path, "", "perturb.factors=[time]")
    assert done.returncode == BAD_REQUEST
    assert "unknown 'time': allowed are seed_python" in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_diagnose_finds_the_operation_that_shows_a_factor(tmp_path: Path) -> None:
    """Weights are drawn by vector instructions, which round differently in another set."""
    factor = "diagnose.factor=instruction_set:sse4"
    done = harness("diagnose", "scenario=mlp", "determinism=seed", factor, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads((study_of(done, tmp_path) / "diagnosis.json").read_text())
    assert document["faults"] == ["dependence on a factor that was varied"]
    assert document["origin_evidence"]["origin"]["operation"]["name"].startswith("aten.uniform_")


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        ("time:1", "unknown factor 'time': allowed are seed_python"),
        ("umask:1", "umask:1: umask has the levels umask:"),
        ("prefetch:1", "prefetch cannot be varied here: this training has no DataLoader"),
    ],
)
def test_a_factor_that_cannot_be_varied_is_refused(
    tmp_path: Path, factor: str, message: str
) -> None:
    """With the reason, before anything runs."""
    words = ["diagnose", "scenario=mlp", "determinism=seed", f"diagnose.factor={factor}"]
    done = harness(*words, cwd=tmp_path)
    assert done.returncode == BAD_REQUEST
    assert message in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.long
@pytest.mark.parametrize(
    "source",
    [
        "",
        "threads",
        "affinity",
        "wait_policy",
        "load",
        "loader_workers",
        "hash_seed",
        "directory_order",
        "clock",
        "time_zone",
        "locale",
        "umask",
        "home",
        "host_name",
        "folder",
        "environment_size",
        "memory",
        "heap",
        "seed_numpy",
        "seed_python",
        "seed_generators",
    ],
)
def test_each_factor_is_named_among_all(tmp_path: Path, source: str) -> None:
    """With every factor varied, the planted one is named and nothing else is."""
    done = perturb(tmp_path, source, "perturb.runs=10", "perturb.most=30")
    assert done.returncode == 0, done.stdout + done.stderr
    expected = ALWAYS | ({source} if source else set())
    also = {"clock": {"time_zone"}}.get(source, set())  # which decides what day it is
    assert expected <= named(answer_of(done, tmp_path)) <= expected | also
