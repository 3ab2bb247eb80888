"""A replay diverges exactly if its checkpoint lacks a part: ten planted cases."""

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
from tests.conftest import FORK, ROOT, command, harness, study_of

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
    """Replays a training that needs every part; without arguments, trains without interruption."""
    scenario = Scenario("whole", "whole", {}, source=str(MINE / "scenario" / "whole.py"))
    cell = dataclasses.replace(make_cell(), scenario=scenario, determinism=Determinism(seed=3))

    def run(**more: object) -> Repeat:
        if not more:
            return trace_training(RunSpec(cell, Kind.trace, 1), torch.device("cpu"), tmp_path)
        return run_replay(RunSpec(cell, Kind.replay, 1, begin=STEP, **more), tmp_path)  # type: ignore[arg-type]

    return run


def test_a_replay_of_every_part_is_the_uninterrupted_training(run: Callable[..., Repeat]) -> None:
    """With all parts restored, every step and the end are bitwise equal."""
    uninterrupted = run()
    saved = run(parts=None)
    assert sorted(saved.facts["parts"]) == sorted(PARTS)
    assert saved.steps == uninterrupted.steps[: STEP - 1]
    resumed = run(parts=tuple(PARTS))
    assert resumed.steps == uninterrupted.steps[STEP - 1 :]
    assert resumed.final == uninterrupted.final


@pytest.mark.parametrize("missing", PARTS)
def test_a_replay_without_one_part_diverges(missing: str, run: Callable[..., Repeat]) -> None:
    """Leaving out any single part changes the rest of the training."""
    uninterrupted = run()
    run(parts=None)
    resumed = run(parts=tuple(part for part in PARTS if part != missing))
    rest = dataclasses.replace(
        uninterrupted, steps=uninterrupted.steps[STEP - 1 :], initial=resumed.initial
    )
    assert outcome_key(resumed) != outcome_key(rest)


@pytest.mark.long
def test_the_parts_that_a_usual_checkpoint_misses_are_named(tmp_path: Path) -> None:
    """Dropout draws from torch's generator, and the batches have an order."""
    words = ["scenario=augmentation", "scenario.dropout=0.5", "device=cpu", FORK]
    done = harness("replay", *words, cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    result = json.loads((study_of(done, tmp_path) / "replay.json").read_text())
    assert "position" in result["missing"]
    assert "torch_rng" in result["missing"]
    assert "The checkpoint misses: " in done.stdout
    whole = ",".join(result["available"])
    again = harness("replay", *words, f"replay.checkpoint=[{whole}]", cwd=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "it is bitwise identical to the uninterrupted training" in again.stdout


@pytest.mark.long
@pytest.mark.parametrize("missing", PARTS)
def test_the_one_part_that_a_checkpoint_lacks_is_named(missing: str, tmp_path: Path) -> None:
    """Of ten parts, `replay` names the one that is missing and no other."""
    parts = ",".join(part for part in PARTS if part != missing)
    words = ["--config-dir", str(MINE), "scenario=whole", f"replay.checkpoint=[{parts}]", FORK]
    done = harness("replay", *words, "device=cpu", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    result = json.loads((study_of(done, tmp_path) / "replay.json").read_text())
    assert result["missing"] == [missing]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["determinism=none"], 1, "a replay proves nothing"),
        (["replay.checkpoint=[weights]"], 2, "this training has no weights; it ha"),
        (["replay.step=99"], 2, "replay.step=99: the training has 5 steps"),
    ],
)
@pytest.mark.slow
def test_what_cannot_be_replayed_says_why(
    words: list[str], status: int, message: str, tmp_path: Path
) -> None:
    """A training that varies, an unknown part, and a step past the end are refused."""
    small = ["scenario=mlp", "scenario.steps=5", "device=cpu", FORK]
    done = harness("replay", *words, *small, cwd=tmp_path)
    assert done.returncode == status, done.stdout + done.stderr
    assert message in done.stdout + done.stderr


def test_only_one_cell_can_be_replayed(tmp_path: Path) -> None:
    """A matrix is refused before anything runs."""
    done = command("replay", "-m", "scenario=mlp,cnn", "device=cpu", cwd=tmp_path)
    assert done.returncode == 2
    assert "replay takes one cell" in done.stderr
