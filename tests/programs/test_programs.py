"""Programs in the idiom of the libraries that people use, which know nothing of the harness."""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import harness, study_of

PROGRAMS = Path(__file__).resolve().parent
LIBRARIES = ("lightning", "accelerate", "transformers")
INSTALLED = all(importlib.util.find_spec(name) for name in LIBRARIES)
with_libraries = [
    pytest.mark.programs,
    pytest.mark.skipif(not INSTALLED, reason="a library is not installed: make test-programs"),
]
WORDS = [
    "scenario=script",
    "device=cpu",
    "runs.trace=2",
    "runs.timing=0",
    "determinism.threads=1",
    "study.baseline=null",
    "study.control=null",
]
OFFLINE = "scenario.environment={HF_HUB_OFFLINE: 1}"


@dataclass
class Told:
    """What a study has told of its only scenario."""

    verdicts: dict[str, str]  # by setting
    repeats: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    report: str = ""

    def steps(self) -> set[int]:
        return {one["facts"]["optimizer steps"] for each in self.repeats.values() for one in each}

    def files_that_differ(self, setting: str) -> list[str]:
        first, second = (one["facts"]["files"] for one in self.repeats[setting])
        assert first.keys() == second.keys()
        return [name for name in first if first[name] != second[name]]


def told_of(program: str, settings: str, *words: str, args: str = "", cwd: Path) -> Told:
    """Each run told a finite loss for each step, and nothing but the study was left behind."""
    shutil.copy(PROGRAMS / program, cwd)
    done = harness(
        "-m",
        *WORDS,
        f"scenario.path={program}",
        f"scenario.args=[{args}]",
        f"determinism={settings}",
        *words,
        cwd=cwd,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(path.name for path in cwd.iterdir()) == sorted([program, "results"])
    study = study_of(done, cwd)
    cells = pd.read_csv(study / "tables" / "cells.csv", keep_default_na=False)
    told = Told(dict(zip(cells["determinism"], cells["verdict"], strict=True)))
    for path in sorted((study / "runs").glob("script-*.json")):
        record = json.loads(path.read_text())
        (repeat,) = record["repeats"]
        assert len(repeat["losses"]) == len(repeat["steps"])
        assert all(isinstance(loss, float) for loss in repeat["losses"])
        told.repeats.setdefault(record["spec"]["cell"]["setting"], []).append(repeat)
    told.report = (study / "report.md").read_text()
    return told


@pytest.mark.slow
def test_a_plain_loop_steps_each_optimizer_once_per_accumulated_batch(tmp_path: Path) -> None:
    told = told_of("plain.py", "none,seed", args="--amp,float16", cwd=tmp_path)
    assert told.verdicts == {"none": "varies", "seed": "identical"}
    assert told.steps() == {2 * 2 * 2}  # epochs, batches in twos, optimizers
    assert told.files_that_differ("seed") == []
    assert told.files_that_differ("none") == ["out/checkpoint.pt"]


@pytest.mark.slow
def test_a_compiled_loop_is_seen_like_a_plain_one(tmp_path: Path) -> None:
    words = "--compile,aot_eager,--amp,bfloat16,--epochs,1,--seed,1"
    told = told_of("plain.py", "none", args=words, cwd=tmp_path)
    assert told.verdicts == {"none": "identical"}
    assert told.steps() == {2 * 2}
    assert {one["facts"]["models"] for one in told.repeats["none"]} == {"OptimizedModule"}


@pytest.mark.slow
def test_timms_seed_and_flags_are_left_alone_and_told(tmp_path: Path) -> None:
    told = told_of("timm_like.py", "full", args="--lookahead", cwd=tmp_path)
    assert told.verdicts == {"full": "identical"}
    assert told.steps() == {2 * 3}
    assert told.files_that_differ("full") == []
    assert "requested cudnn.benchmark=False, effective True" in told.report


@pytest.mark.slow
def test_two_ranks_step_where_their_gradients_are_exchanged(tmp_path: Path) -> None:
    told = told_of("ddp.py", "none", "scenario.processes=2", cwd=tmp_path)
    assert told.verdicts == {"none": "identical"}
    assert told.steps() == {2 * 3}
    assert told.files_that_differ("none") == []
    assert sorted(told.repeats["none"][0]["facts"]["files"]) == ["epoch0.pt", "epoch1.pt"]


@pytest.mark.parametrize(
    ("program", "steps", "files", "dated"),
    [
        pytest.param("lightning_fit.py", 2 * 2, "epoch=1-step=4.ckpt", [], id="lightning"),
        pytest.param("accelerate_loop.py", 2 * 3, "state/optimizer.bin", [], id="accelerate"),
        pytest.param(
            "trainer.py",
            2 * 4,
            "run/checkpoint-8/optimizer.pt",
            ["run/checkpoint-8/trainer_state.json"],
            id="transformers",
        ),
    ],
)
class TestLibraries:
    pytestmark = with_libraries

    def test_a_program_of_it_varies_until_it_is_seeded(
        self, program: str, steps: int, files: str, dated: list[str], tmp_path: Path
    ) -> None:
        """``dated``: Transformers keeps the seconds of an evaluation."""
        told = told_of(program, "none,seed", OFFLINE, cwd=tmp_path)
        assert told.verdicts == {"none": "varies", "seed": "identical"}
        assert told.steps() == {steps}
        assert told.files_that_differ("seed") == dated
        assert any(name.endswith(files) for name in told.repeats["seed"][0]["facts"]["files"])

    def test_its_own_seeding_is_enough(
        self, program: str, steps: int, files: str, dated: list[str], tmp_path: Path
    ) -> None:
        told = told_of(program, "none", OFFLINE, args="--seed,5", cwd=tmp_path)
        assert told.verdicts == {"none": "identical"}
        assert told.files_that_differ("none") == dated
