"""Programs written for popular libraries, without knowledge of the harness, run as scripts."""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.core.steps import Steps
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
class StudyResult:
    """The verdicts, records and report of a study of one program."""

    verdicts: dict[str, str]  # by setting
    repeats: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    report: str = ""

    def count_steps(self) -> set[int]:
        return {run["facts"]["optimizer steps"] for runs in self.repeats.values() for run in runs}

    def find_differing_files(self, setting: str) -> list[str]:
        first, second = (repeat["facts"]["files"] for repeat in self.repeats[setting])
        assert first.keys() == second.keys()
        return [name for name in first if first[name] != second[name]]


def run_study(program: str, settings: str, *words: str, args: str = "", cwd: Path) -> StudyResult:
    """Run a study; every step must have a loss, and no other files may be left behind."""
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
    result = StudyResult(dict(zip(cells["determinism"], cells["verdict"], strict=True)))
    for path in sorted((study / "runs").glob("script-*.json")):
        record = json.loads(path.read_text())
        (repeat,) = record["repeats"]
        assert len(repeat["losses"]) == len(Steps.from_json(repeat["steps"]))
        assert all(isinstance(loss, float) for loss in repeat["losses"])
        result.repeats.setdefault(record["spec"]["cell"]["setting"], []).append(repeat)
    result.report = (study / "report.md").read_text()
    return result


@pytest.mark.slow
def test_a_plain_loop_steps_once_per_accumulated_batch(tmp_path: Path) -> None:
    """Each optimizer steps once per accumulated batch, and seeds make a plain loop identical."""
    result = run_study("plain.py", "none,seed", args="--amp,float16", cwd=tmp_path)
    assert result.verdicts == {"none": "varies", "seed": "identical"}
    assert result.count_steps() == {2 * 2 * 2}  # epochs, pairs of batches, optimizers
    assert result.find_differing_files("seed") == []
    assert result.find_differing_files("none") == ["out/checkpoint.pt"]


@pytest.mark.slow
def test_a_compiled_loop_is_observed_like_a_plain_one(tmp_path: Path) -> None:
    """The steps of a compiled model are counted, and a seeded run of it is identical."""
    args = "--compile,aot_eager,--amp,bfloat16,--epochs,1,--seed,1"
    result = run_study("plain.py", "none", args=args, cwd=tmp_path)
    assert result.verdicts == {"none": "identical"}
    assert result.count_steps() == {2 * 2}
    assert {repeat["facts"]["models"] for repeat in result.repeats["none"]} == {"OptimizedModule"}


@pytest.mark.slow
def test_seeds_and_flags_of_a_program_are_kept_and_reported(tmp_path: Path) -> None:
    """A program in the style of timm keeps its own cuDNN flag, and the report mentions it."""
    result = run_study("timm_like.py", "full", args="--lookahead", cwd=tmp_path)
    assert result.verdicts == {"full": "identical"}
    assert result.count_steps() == {2 * 3}
    assert result.find_differing_files("full") == []
    assert "requested cudnn.benchmark=False, effective True" in result.report


@pytest.mark.slow
def test_a_program_on_two_ranks_is_observed(tmp_path: Path) -> None:
    """The steps and files of a program on two ranks are recorded, and its runs are identical."""
    result = run_study("ddp.py", "none", "scenario.processes=2", cwd=tmp_path)
    assert result.verdicts == {"none": "identical"}
    assert result.count_steps() == {2 * 3}
    assert result.find_differing_files("none") == []
    assert sorted(result.repeats["none"][0]["facts"]["files"]) == ["epoch0.pt", "epoch1.pt"]


@pytest.mark.parametrize(
    ("program", "steps", "files", "dated"),  # dated: files with the seconds of an evaluation
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

    def test_a_program_varies_without_seeds(
        self, program: str, steps: int, files: str, dated: list[str], tmp_path: Path
    ) -> None:
        """A program of the library varies without seeds and is identical with them."""
        result = run_study(program, "none,seed", OFFLINE, cwd=tmp_path)
        assert result.verdicts == {"none": "varies", "seed": "identical"}
        assert result.count_steps() == {steps}
        assert result.find_differing_files("seed") == dated
        assert any(name.endswith(files) for name in result.repeats["seed"][0]["facts"]["files"])

    def test_a_seed_set_by_the_program_is_enough(
        self, program: str, steps: int, files: str, dated: list[str], tmp_path: Path
    ) -> None:
        """A program that seeds the library itself is identical without settings of the harness."""
        result = run_study(program, "none", OFFLINE, args="--seed,5", cwd=tmp_path)
        assert result.verdicts == {"none": "identical"}
        assert result.find_differing_files("none") == dated
