"""recipe in real processes: the planted switches, and no others, in an ordinary study."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.core.exit_codes import BAD_REQUEST, FAILED
from tests.conftest import ROOT, Done, command, harness, study_of

# A training with noise from the sources in `needs`, each of which a switch makes constant. A name
# such as hash/algorithms needs one of the two, and rare:algorithms is seen in 5 % of processes.
PLANTED = """
import os, random
from dataclasses import dataclass, field

import numpy as np
import torch
from harness.scenario import Context, Supervised
from harness.scenarios import mlp

@dataclass(frozen=True)
class Options:
    needs: list[str] = field(default_factory=list)
    overrides: bool = False

def chance():
    return int.from_bytes(os.urandom(4), "little") / 2**32

def noise(need):
    if need == "python":
        return random.random()
    if need == "numpy":
        return np.random.rand()
    if need == "refused":  # by torch.use_deterministic_algorithms(True)
        torch.zeros(2).put_(torch.tensor([0]), torch.ones(1))
        return 0.0
    if need == "harmed":
        return chance() * torch.are_deterministic_algorithms_enabled()
    is_rare, _, switches = need.rpartition(":")
    if any(map(is_on, switches.split("/"))) or (is_rare and chance() > 0.05):
        return 0.0
    return chance()

def is_on(switch):
    deterministic = torch.are_deterministic_algorithms_enabled()
    return {
        "hash": "PYTHONHASHSEED" in os.environ,
        "algorithms": deterministic,
        "fill": deterministic and torch.utils.deterministic.fill_uninitialized_memory,
        "nothing": False,
    }[switch]

def build(options: Options, context: Context) -> Supervised:
    if options.overrides:
        torch.use_deterministic_algorithms(False)
    training = mlp.build(mlp.Options(data="digits", steps=3), context)
    with torch.no_grad():
        next(training.model.parameters()).flatten()[0] += sum(map(noise, options.needs))
    return training
"""
FILL = "fill_uninitialized_memory"
FEW = ["device=cpu", "recipe.runs=2", "recipe.confirm=3"]


def write_planted(folder: Path) -> None:
    own = folder / "mine" / "scenario"
    own.mkdir(parents=True)
    (own / "planted.yaml").write_text(
        "name: planted\nuses_loader: false\nneeds: []\noverrides: false\n"
    )
    (own / "planted.py").write_text(PLANTED)


def search(folder: Path, needs: str, *words: str) -> Done:
    write_planted(folder)
    planted = ["--config-dir", "mine", "scenario=planted", f"scenario.needs=[{needs}]"]
    return harness("recipe", *planted, *FEW, *words, cwd=folder)


def recipe_of(done: Done, folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((study_of(done, folder) / "recipe.json").read_text())
    return document


SOURCES: dict[str, list[str]] = {
    "": [],
    "python": ["seeds.python"],
    "numpy": ["seeds.numpy"],
    "hash": ["python_hash_seed"],
    "algorithms": ["algorithms"],
    "fill": ["algorithms", FILL],
    "python,hash": ["seeds.python", "python_hash_seed"],
    "numpy,algorithms": ["seeds.numpy", "algorithms"],
    "hash,fill": ["python_hash_seed", "algorithms", FILL],
    "hash/algorithms": ["python_hash_seed"],
    "refused,numpy": ["seeds.numpy"],
    "harmed,numpy": ["seeds.numpy"],
    "python,hash/fill,algorithms": ["seeds.python", "python_hash_seed", "algorithms"],
}


@pytest.mark.long
@pytest.mark.parametrize(("needs", "expected"), SOURCES.items())
def test_exactly_the_planted_switches_are_found(
    tmp_path: Path, needs: str, expected: list[str]
) -> None:
    """Also two of which one has no effect without the other, one of two that would do, and sets
    of which all switches together fail or differ.
    """
    done = search(tmp_path, needs, "recipe.blocks=0")
    assert done.returncode == 0, done.stdout + done.stderr
    recipe = recipe_of(done, tmp_path)
    assert [*recipe["kept"]] == ["seeds.torch", *expected]
    assert all(not evidence["agrees"] for evidence in recipe["without"].values())
    assert recipe["runs"] == 3
    assert recipe["refused"] == ("put_" if "refused" in needs else "")
    assert "torch.manual_seed(42)" in done.stdout


@pytest.mark.slow
def test_the_operation_that_needs_deterministic_algorithms_is_found(tmp_path: Path) -> None:
    """Of the indexing scenario, whose additions race: one operation, or one thread, would do."""
    few = ["scenario.steps=10", *FEW, "recipe.blocks=0"]
    done = harness("recipe", "scenario=indexing", *few, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    recipe = recipe_of(done, tmp_path)
    assert [*recipe["kept"]] == ["seeds.torch", "algorithms"]
    alternatives = {word: found["agrees"] for word, found in recipe["alternatives"].items()}
    assert alternatives == {"deterministic_operations=index_put": True, "threads=1": True}
    assert "for name in ['index_put']" in done.stdout


@pytest.mark.long
def test_a_rare_difference_is_found_with_more_runs(tmp_path: Path) -> None:
    """Six runs miss one in 20 processes three times in four; 90 runs miss it once in a hundred."""
    words = ["recipe.blocks=0", "recipe.runs=6", "recipe.confirm=90"]
    done = search(tmp_path, "rare:algorithms", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    recipe = recipe_of(done, tmp_path)
    assert [*recipe["kept"]] == ["seeds.torch", "algorithms"]
    assert recipe["runs"] == 90


@pytest.mark.long
def test_a_switch_that_the_program_sets_is_not_searched(tmp_path: Path) -> None:
    """The report says so, with the value in effect, and the recipe does without it."""
    done = search(tmp_path, "", "scenario.overrides=true", "recipe.blocks=0")
    assert done.returncode == 0, done.stdout + done.stderr
    recipe = recipe_of(done, tmp_path)
    assert recipe["overridden"] == {"algorithms": "allow"}
    assert "algorithms" not in (*recipe["kept"], *recipe["unneeded"])
    report = (study_of(done, tmp_path) / "report.md").read_text()
    assert (
        "Left out, as the program sets them itself (values at its end): `algorithms=allow`."
        in report
    )


@pytest.mark.long
def test_without_a_recipe_the_first_divergence_is_named(tmp_path: Path) -> None:
    """A training that no switch helps has the exit status of a finding, and a way to go on."""
    done = search(tmp_path, "nothing", "recipe.blocks=0")
    assert done.returncode == FAILED, done.stdout + done.stderr
    assert recipe_of(done, tmp_path)["cell"] == ""
    assert "There is no recipe: with every switch, the training varies" in done.stdout
    assert "harness diagnose" in done.stdout


@pytest.mark.long
def test_costs_are_those_of_an_ordinary_study_that_resume_completes(tmp_path: Path) -> None:
    """Killed while it times, the study is completed by the command that was printed."""
    write_planted(tmp_path)
    words = ["--config-dir", "mine", "scenario=planted", "scenario.needs=[algorithms]", *FEW]
    words += ["recipe.blocks=2", "timing.min_s=0.05", "timing.warmup=0"]
    with subprocess.Popen(
        [sys.executable, "-m", "harness", "recipe", *words],
        cwd=tmp_path,
        text=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if "for the costs" in line:
                break
        running.send_signal(signal.SIGTERM)
        advice = running.stderr.read()
    assert running.returncode == 130, advice
    again = shlex.split(advice.strip().split("\n")[-1])
    assert again[:4] == ["python", "-m", "harness", "resume"]
    done = harness(*again[3:], cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    report = (study_of(done, tmp_path) / "report.md").read_text()
    assert report.startswith(
        "# This training needs the seed of torch (42) and `algorithms=require`"
    )
    assert "| the seed of torch | yes | varies" in report
    assert "as long as with seeds alone" in report.split("\n")[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scenario=mlp", "determinism=none"], "begins with a setting that has a seed"),
        (["scenario=mlp,cnn", "-m"], "recipe takes one cell"),
        (["scenario=mlp", "recipe.runs=1"], "recipe.runs=1: must be at least 2"),
    ],
)
def test_what_has_no_recipe_is_refused(tmp_path: Path, words: list[str], message: str) -> None:
    """The error names the word, and nothing is created."""
    done = command("recipe", *words, cwd=tmp_path)
    assert done.returncode == BAD_REQUEST
    assert message in done.stderr
    assert not list(tmp_path.iterdir())
