"""What a checkpoint lacks makes the replay part, and nothing else does: ten planted cases."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness.core.record import Repeat
from harness.core.spec import Cell, Determinism, Kind, RunSpec, Scenario
from harness.core.verdict import outcome_key
from harness.worker.torch_backend.replay import run_replay
from harness.worker.torch_backend.trace import trace_training
from tests.conftest import ROOT, harness, study_of

STEP = 4
MINE = ROOT / "tests" / "long" / "planted"
PARTS = [
    "parameters",
    "buffers",
    "optimizer",
    "counters",
    "scheduler",
    "scaler",
    "position",
    "numpy_rng",
    "python_rng",
    "torch_rng",
]


@pytest.fixture
def run(tmp_path: Path, make_cell: Callable[..., Cell]) -> Callable[..., Repeat]:
    """A replay of the training that needs everything; without words, the straight training."""
    scenario = Scenario("whole", "whole", {}, source=str(MINE / "scenario" / "whole.py"))
    cell = dataclasses.replace(make_cell(), scenario=scenario, determinism=Determinism(seed=3))

    def made(**more: object) -> Repeat:
        if not more:
            return trace_training(RunSpec(cell, Kind.trace, 1), torch.device("cpu"), tmp_path)
        return run_replay(RunSpec(cell, Kind.replay, 1, begin=STEP, **more), tmp_path)  # type: ignore[arg-type]

    return made


def test_with_every_part_a_replay_is_the_straight_training(run: Callable[..., Repeat]) -> None:
    straight = run()
    begun = run(parts=None)
    assert sorted(begun.facts["parts"]) == sorted(PARTS)
    assert begun.steps == straight.steps[: STEP - 1]
    gone_on = run(parts=tuple(PARTS))
    assert gone_on.steps == straight.steps[STEP - 1 :]
    assert gone_on.final == straight.final


@pytest.mark.parametrize("missing", PARTS)
def test_without_any_one_part_it_is_not(missing: str, run: Callable[..., Repeat]) -> None:
    straight = run()
    run(parts=None)
    lacking = run(parts=tuple(one for one in PARTS if one != missing))
    rest = dataclasses.replace(straight, steps=straight.steps[STEP - 1 :], initial=lacking.initial)
    assert outcome_key(lacking) != outcome_key(rest)


def test_what_the_usual_checkpoint_misses_is_told(tmp_path: Path) -> None:
    """In real processes: dropout draws from torch's generator, and batches have an order."""
    words = ["scenario=augmentation", "scenario.dropout=0.5", "device=cpu"]
    done = harness("replay", *words, cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    found = json.loads((study_of(done, tmp_path) / "replay.json").read_text())
    assert "position" in found["missing"]
    assert "torch_rng" in found["missing"]
    assert "The checkpoint misses: " in done.stdout
    whole = ",".join(found["available"])
    again = harness("replay", *words, f"replay.checkpoint=[{whole}]", cwd=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "it is bitwise identical to the uninterrupted training" in again.stdout


@pytest.mark.long
@pytest.mark.parametrize("missing", PARTS)
def test_the_one_part_that_a_checkpoint_lacks_is_named(missing: str, tmp_path: Path) -> None:
    held = ",".join(one for one in PARTS if one != missing)
    words = ["--config-dir", str(MINE), "scenario=whole", f"replay.checkpoint=[{held}]"]
    done = harness("replay", *words, "device=cpu", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    found = json.loads((study_of(done, tmp_path) / "replay.json").read_text())
    assert found["missing"] == [missing]


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["scenario=mlp", "determinism=none"], 1, "a replay proves nothing"),
        (["scenario=mlp", "replay.checkpoint=[weights]"], 2, "this training has no weights; it ha"),
        (["scenario=mlp", "replay.step=99"], 2, "replay.step=99: the training has 5 steps"),
        (["-m", "scenario=mlp,cnn"], 2, "replay takes one cell"),
    ],
)
def test_what_cannot_be_replayed_says_why(
    words: list[str], status: int, told: str, tmp_path: Path
) -> None:
    few = [] if "-m" in words else ["scenario.steps=5"]
    done = harness("replay", *words, *few, "device=cpu", cwd=tmp_path)
    assert done.returncode == status, done.stdout + done.stderr
    assert told in done.stdout + done.stderr
