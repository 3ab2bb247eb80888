"""diagnose in real processes: the operation, the fault and the fix of trainings that vary."""

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

from tests.conftest import FORK, ROOT, command, harness, study_of

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


def diagnose(tmp_path: Path, *words: str) -> dict[str, Any]:
    """The diagnosis of forked runs; a later word may ask for spawned ones."""
    done = harness("diagnose", "device=cpu", FORK, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    document: dict[str, Any] = json.loads((study_of(done, tmp_path) / "diagnosis.json").read_text())
    assert document["paragraph"].split()[0] in done.stdout
    return document


def diagnose_own(tmp_path: Path, act: str, *words: str) -> dict[str, Any]:
    folder = tmp_path / "mine" / "scenario"
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text("# mine\nname: own\nuses_loader: false\nact: train\n")
    (folder / "own.py").write_text(OWN)
    return diagnose(tmp_path, "--config-dir", "mine", "scenario=own", f"scenario.act={act}", *words)


def answers(document: dict[str, Any]) -> dict[str, str]:
    return {" ".join(trial["words"]): trial["answer"] for trial in document["trials"]}


@pytest.mark.slow
def test_atomics_in_a_backward_pass_are_named_with_their_fix(tmp_path: Path) -> None:
    """The origin is index_put in the backward pass; deterministic algorithms fix it."""
    if torch.get_num_threads() == 1:
        pytest.skip("atomics cannot race on one thread; run this on two cores")
    document = diagnose(
        tmp_path, "scenario=indexing", "determinism=seed", "scenario.steps=10", "diagnose.runs=5"
    )
    origin = document["origin_evidence"]["origin"]
    assert origin["kind"] == "operation"
    assert origin["operation"]["phase"] == "backward"
    assert "index_put" in origin["operation"]["name"]
    assert "scenarios/indexing.py:" in origin["operation"]["source"]
    assert document["faults"] == ["atomics or reduction order"]
    trials = answers(document).items()
    assert [answer for words, answer in trials if "algorithms=require" in words] == ["fixed"]
    assert "enable deterministic algorithms" in document["advice"]


@pytest.mark.slow
def test_an_identical_training_is_reported_with_its_bound(tmp_path: Path) -> None:
    """Without a difference there is no origin, and the bound says what the runs show."""
    document = diagnose(tmp_path, "scenario=mlp", "determinism=seed", "scenario.steps=5")
    assert (document["verdict"], document["step"]) == ("identical", None)
    assert "at most 95 %" in document["paragraph"]  # forked runs count as those of two processes


@pytest.mark.long
def test_an_unseeded_training_is_called_unseeded_first(tmp_path: Path) -> None:
    """Missing seeds are found at the first random operation, and a seed alone fixes them."""
    document = diagnose(
        tmp_path, "scenario=mlp", "determinism=none", "scenario.steps=5", "diagnose.runs=3"
    )
    assert document["faults"] == ["unseeded randomness"]
    assert answers(document) == {"determinism.seed=0": "fixed"}  # what it adds, and nothing else
    assert document["step"] == 0
    operation = document["origin_evidence"]["origin"]["operation"]
    assert operation["phase"] == "build"
    assert operation["name"].startswith("aten.uniform_")


@pytest.mark.long
def test_a_fault_is_named_by_what_fixes_it(tmp_path: Path) -> None:
    """An order taken from a set is fixed by a hash seed (tests/long/ plants the other faults)."""
    spawned = "launch.isolation=spawn"
    document = diagnose_own(tmp_path, "set", "determinism=seed", "diagnose.runs=3", spawned)
    assert document["faults"] == ["hash order"]


@pytest.mark.slow
def test_a_fault_that_forked_runs_hide_stays_undecided(tmp_path: Path) -> None:
    """Forked runs share hash seeds, so they cannot confirm a fix, and no other fault is blamed."""
    document = diagnose_own(tmp_path, "set", "determinism=seed", "diagnose.runs=3")
    assert document["verdict"] in ("varies", "varies per process")
    assert document["faults"] == []
    assert "undecided" in answers(document).values()


@pytest.mark.slow
def test_a_training_that_changes_when_it_is_observed_is_reported(tmp_path: Path) -> None:
    """Identical runs that end differently while operations are logged name the observer."""
    document = diagnose_own(tmp_path, "shy", "determinism=full", "diagnose.runs=3")
    assert (document["verdict"], document["faults"]) == ("identical", ["observer"])
    assert document["observed"]["changed_by"] == ["a log of its operations"]
    assert "observation changes the bits" in document["paragraph"]


@pytest.mark.slow
def test_a_window_past_the_last_step_is_refused_and_the_runs_are_kept(tmp_path: Path) -> None:
    """The message gives the number of steps, which only a run can tell."""
    words = ["scenario=mlp", "determinism=none", "scenario.steps=3", "diagnose.runs=2", FORK]
    done = harness("diagnose", *words, "device=cpu", "diagnose.window=9", cwd=tmp_path)
    assert done.returncode == 2
    assert "diagnose.window=9: the training has 3 steps" in done.stderr
    assert len(list((tmp_path / "results").glob("*/runs/*.json"))) >= 2


@pytest.mark.slow
def test_an_interrupted_diagnosis_continues_by_the_command_that_it_prints(tmp_path: Path) -> None:
    """SIGTERM in the middle of the origin search keeps the runs, and the printed command works."""
    words = [
        "scenario=mlp",
        "determinism=none",
        "scenario.steps=2",
        "device=cpu",
        "diagnose.runs=3",
        FORK,
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
        advice = running.stderr.read()
    assert running.returncode == 130, advice
    again = shlex.split(advice.strip().split("\n")[-1])
    assert again[:4] == ["python", "-m", "harness", "diagnose"]
    done = harness(*again[3:], cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads((study_of(done, tmp_path) / "diagnosis.json").read_text())
    assert document["faults"] == ["unseeded randomness"]


@pytest.mark.long
def test_a_training_that_cannot_be_logged_is_reported_with_its_error(tmp_path: Path) -> None:
    """If logging raises, the fault is still found by treatments."""
    words = ["determinism=none", "diagnose.runs=3", "diagnose.window=1"]
    document = diagnose_own(tmp_path, "delicate", *words)
    assert document["faults"] == ["unseeded randomness"]
    assert "do not look" in document["origin_evidence"]["failure"]
    assert "The origin was not found" in document["paragraph"]


@pytest.mark.slow
def test_a_training_that_crashes_is_not_called_reproducible(tmp_path: Path) -> None:
    """The diagnosis quotes the training's own error."""
    document = diagnose_own(tmp_path, "crash", "diagnose.runs=2")
    assert document["verdict"] == "failed"
    assert "the cable is loose" in document["paragraph"]


@pytest.mark.parametrize(
    ("words", "message"),
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
def test_what_cannot_be_diagnosed_is_refused(
    words: list[str], message: str, tmp_path: Path
) -> None:
    """A matrix and malformed options end with status 2, and nothing is created."""
    done = command("diagnose", *words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "results").exists()


GENERATOR = """
import numpy as np
import torch
from torch import nn

generator = torch.Generator()
generator.seed()
net = nn.Linear(8, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(3):
    noise = {noise}
    optimizer.zero_grad()
    net(torch.ones(4, 8) + noise).mean().backward()
    optimizer.step()
"""


@pytest.mark.parametrize(
    ("noise", "fault", "advice"),
    [
        pytest.param(
            "torch.randn(4, 8, generator=generator)",
            "unseeded randomness",
            "does not reach the gen",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "float(np.random.default_rng().random())",
            "order or content of the data",
            "default_rng",
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_generator_of_the_script_is_not_blamed_on_the_setting(
    noise: str, fault: str, advice: str, tmp_path: Path
) -> None:
    """A generator that the seed of the setting does not reach is named, not the order of data."""
    (tmp_path / "train.py").write_text(GENERATOR.format(noise=noise))
    words = ["determinism=seed", "diagnose.runs=3", "--", "python", "train.py"]
    done = harness("diagnose", "device=cpu", *words, cwd=tmp_path)
    document = json.loads((study_of(done, tmp_path) / "diagnosis.json").read_text())
    assert document["faults"] == [fault]
    assert advice in document["advice"]
    assert "no earlier operation produced, at train.py:1" in document["paragraph"]
