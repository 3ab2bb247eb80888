"""diagnose, through real processes: operation, fault and cure of trainings that vary."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import ROOT, harness, study_of

OWN = """
from dataclasses import dataclass, field

import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode
from harness.scenario import Context, Supervised
from harness.scenarios import mlp

@dataclass(frozen=True)
class Options:
    act: str = "train"

class Shy:
    def __init__(self, training):
        self.training, self.plain = training, training.step

    def __call__(self, batch):
        if _get_current_dispatch_mode() is not None:
            self.training.optimizer.param_groups[0]["lr"] *= 2
        return self.plain(batch)

class Delicate:
    def __init__(self, training):
        self.plain = training.step

    def __call__(self, batch):
        if _get_current_dispatch_mode() is not None:
            raise RuntimeError("do not look")
        return self.plain(batch)

def build(options: Options, context: Context) -> Supervised:
    training = mlp.build(mlp.Options(data="digits", steps=4), context)
    if options.act == "crash":
        raise RuntimeError("the cable is loose")
    if options.act == "set":
        order = list({str(n) for n in range(len(training.train))})
        training.train = training.train.at(torch.tensor([int(one) for one in order]))
    if options.act == "delicate":
        training.step = Delicate(training)
    if options.act == "shy":
        training.step = Shy(training)
    return training
"""


def diagnosed(tmp_path: Path, *words: str) -> dict[str, Any]:
    done = harness("diagnose", *words, "device=cpu", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    document: dict[str, Any] = json.loads((study_of(done, tmp_path) / "diagnosis.json").read_text())
    assert document["paragraph"].split()[0] in done.stdout
    return document


def own(tmp_path: Path, act: str, *words: str) -> dict[str, Any]:
    folder = tmp_path / "mine" / "scenario"
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text("# mine\nname: own\nuses_loader: false\nact: train\n")
    (folder / "own.py").write_text(OWN)
    return diagnosed(
        tmp_path, "--config-dir", "mine", "scenario=own", f"scenario.act={act}", *words
    )


def answers(document: dict[str, Any]) -> dict[str, str]:
    return {" ".join(one["words"]): one["answer"] for one in document["trials"]}


def test_atomics_in_a_backward_are_named_with_their_cure(tmp_path: Path) -> None:
    if torch.get_num_threads() == 1:
        pytest.skip("atomics cannot race on one thread; run this on two cores")
    found = diagnosed(
        tmp_path, "scenario=indexing", "determinism=seed", "scenario.steps=10", "diagnose.runs=5"
    )
    origin = found["origin_evidence"]["origin"]
    assert origin["kind"] == "operation"
    assert origin["operation"]["phase"] == "backward"
    assert "index_put" in origin["operation"]["name"]
    assert "scenarios/indexing.py:" in origin["operation"]["source"]
    assert found["faults"] == ["atomics or reduction order"]
    assert [told for words, told in answers(found).items() if "algorithms=require" in words] == [
        "fixed"
    ]
    assert "enable deterministic algorithms" in found["advice"]


def test_a_training_that_is_the_same_in_every_run_says_so_with_its_bound(tmp_path: Path) -> None:
    found = diagnosed(tmp_path, "scenario=mlp", "determinism=seed", "scenario.steps=5")
    assert (found["verdict"], found["step"]) == ("identical", None)
    assert "at most 28 %" in found["paragraph"]


def test_an_unseeded_training_is_called_unseeded_first(tmp_path: Path) -> None:
    found = diagnosed(
        tmp_path, "scenario=mlp", "determinism=none", "scenario.steps=5", "diagnose.runs=5"
    )
    assert found["faults"] == ["unseeded randomness"]
    assert answers(found) == {"determinism.seed=0": "fixed"}  # what it adds, and nothing else
    assert found["step"] == 0
    assert found["origin_evidence"]["origin"]["operation"]["phase"] == "build"
    assert found["origin_evidence"]["origin"]["operation"]["name"].startswith("aten.uniform_")


def test_a_fault_is_told_by_experiment(tmp_path: Path) -> None:
    """The short form of tests/long/test_planted.py."""
    found = own(tmp_path, "set", "determinism=seed", "diagnose.runs=5")
    assert found["faults"] == ["hash order"]


def test_a_training_that_changes_when_it_is_watched_is_told(tmp_path: Path) -> None:
    found = own(tmp_path, "shy", "determinism=full", "diagnose.runs=3")
    assert (found["verdict"], found["faults"]) == ("identical", ["observer"])
    assert found["observed"]["changed_by"] == ["a log of its operations"]
    assert "observation changes the bits" in found["paragraph"]


def test_a_window_past_the_last_step_is_refused_and_the_runs_are_kept(tmp_path: Path) -> None:
    words = ["scenario=mlp", "determinism=none", "scenario.steps=3", "diagnose.runs=2"]
    done = harness("diagnose", *words, "device=cpu", "diagnose.window=9", cwd=tmp_path)
    assert done.returncode == 2
    assert "diagnose.window=9: the training has 3 steps" in done.stderr
    assert len(list((tmp_path / "results").glob("*/runs/*.json"))) >= 2


def test_a_diagnosis_that_is_ended_is_gone_on_with_by_the_command_it_gives(tmp_path: Path) -> None:
    words = [
        "scenario=mlp",
        "determinism=none",
        "scenario.steps=2",
        "device=cpu",
        "diagnose.runs=5",
    ]
    with subprocess.Popen(
        [sys.executable, "-m", "harness", "diagnose", *words],
        cwd=tmp_path,
        text=True,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if line.startswith("origin:"):
                break
        running.terminate()
        told = running.stderr.read()
    assert running.returncode == 130, told
    again = shlex.split(told.strip().split("\n")[-1])
    assert again[:4] == ["python", "-m", "harness", "diagnose"]
    found = diagnosed(tmp_path, *again[4:-1], again[-1])
    assert found["faults"] == ["unseeded randomness"]


def test_a_training_that_cannot_be_logged_is_told_with_what_was_found(tmp_path: Path) -> None:
    found = own(tmp_path, "delicate", "determinism=none", "diagnose.runs=3", "diagnose.window=1")
    assert found["faults"] == ["unseeded randomness"]
    assert "do not look" in found["origin_evidence"]["failure"]
    assert "The origin was not found" in found["paragraph"]


def test_a_training_that_crashes_is_not_called_reproducible(tmp_path: Path) -> None:
    found = own(tmp_path, "crash", "diagnose.runs=2")
    assert found["verdict"] == "failed"
    assert "the cable is loose" in found["paragraph"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-m", "scenario=mlp,cnn"], "takes one cell"),
        (["scenario=mlp", "diagnose.tries=1"], "diagnose.tries=1: must be at least 2"),
        (
            ["scenario=mlp", "diagnose.window=8-5"],
            "diagnose.window=8-5: must be a step, such as 5, or a range",
        ),
        (["scenario=mlp", "determinism.fresh_memory=ones"], "must be one of zeros, nan, pattern"),
    ],
)
def test_what_cannot_be_diagnosed_is_refused(words: list[str], told: str, tmp_path: Path) -> None:
    done = harness("diagnose", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert not (tmp_path / "results").exists()
