"""A study spends no more runs on cells that have told what they can."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.core.record import load_record
from harness.core.spec import Kind
from tests.conftest import FORK, harness, study_of

STAGES = ["runs.trace=4", "runs.first=2", "runs.timing=5", "timing.first=3", "timing.min_s=0.01"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unseeded net, which varies, and a seeded one, with costs of any precision."""
    cwd = tmp_path_factory.mktemp("stages")
    words = [
        "-m",
        "scenario=mlp",
        "scenario.steps=6",
        "determinism=none,seed",
        "timing.precision=999",
    ]
    done = harness(*words, *STAGES, FORK, "study.control=null", cwd=cwd)
    assert done.returncode in (0, 1), done.stderr  # 1: a twin fails by chance
    return study_of(done, cwd)


@pytest.mark.slow
def test_a_cell_that_varies_gets_the_runs_of_the_first_stage(study: Path) -> None:
    """The unseeded net has two trace runs of two trainings; the seeded one has four, two of one."""
    records = [load_record(path) for path in (study / "runs").glob("*.trace.*.json")]
    trainings = {
        setting: [
            len(run.repeats)
            for run in sorted(records, key=lambda run: run.spec.number)
            if run.spec.cell.setting == setting
        ]
        for setting in ("none", "seed")
    }
    assert trainings == {"none": [2, 2], "seed": [2, 2, 1, 1]}


@pytest.mark.slow
def test_timing_stops_when_costs_are_precise_enough(study: Path) -> None:
    """Three blocks were timed, and blocks.json says that no more are needed."""
    records = [load_record(path) for path in (study / "runs").glob("*.timing.*.json")]
    assert sorted(run.spec.number for run in records if run.spec.kind is Kind.timing) == [1, 2, 3]
    assert set(json.loads((study / "blocks.json").read_text()).values()) == {3}


@pytest.mark.slow
def test_such_a_study_is_complete(study: Path) -> None:
    """`resume` runs nothing more, and the report says why cells have fewer runs."""
    done = harness("resume", str(study), cwd=study.parent)
    assert "0 runs of" in done.stderr
    text = (study / "report.md").read_text()
    assert "1 cell got fewer than 4 trace runs" in text
    assert "Costs were timed in 3 blocks" in text
    assert "not done" not in text
    assert "4 (6 trainings)" in text


@pytest.mark.slow
def test_a_budget_ends_a_study(tmp_path: Path) -> None:
    """No run starts after it, the report says how many are left, and `resume` goes on."""
    words = ["scenario=mlp", "scenario.steps=6", "determinism=seed", "study.control=null"]
    many = ["runs.trace=2000", "runs.timing=0", "study.budget_s=45"]
    done = harness(*words, *many, FORK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "at most 45 s (study.budget_s)" in done.stderr
    study = study_of(done, tmp_path)
    runs = len(list((study / "runs").glob("*.trace.*.json")))
    assert 0 < runs < 2000
    assert f"study.budget_s=45 is used up; {2000 - runs} runs are not started" in done.stderr
    text = (study / "report.md").read_text()
    sentence = "The time budget of 45 s (study.budget_s) ended before"
    assert f"{sentence} {2000 - runs} of 2000 planned runs" in text
    assert "not done" not in text


@pytest.mark.slow
def test_resume_has_no_time_limit(tmp_path: Path) -> None:
    """A study that its budget ended before the first run has none to publish; `resume` runs all."""
    words = ["scenario=mlp", "scenario.steps=6", "determinism=seed", "study.control=null"]
    few = ["runs.trace=2", "runs.timing=0", "study.budget_s=0.1", "study.dir=it"]
    done = harness(*words, *few, FORK, cwd=tmp_path)
    assert done.returncode == 3
    refused = harness("publish", "it", cwd=tmp_path)
    assert "it has no runs" in refused.stderr
    again = harness("resume", "it", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert len(list((tmp_path / "it" / "runs").glob("*.trace.*.json"))) == 2
    assert not (tmp_path / "it" / "budget.json").exists()


def test_a_diagnosis_takes_no_budget(tmp_path: Path) -> None:
    """Its runs depend on what it finds, so a limit is refused."""
    done = harness("diagnose", "scenario=indexing", "study.budget_s=9", cwd=tmp_path)
    assert done.returncode == 2
    assert "study.budget_s limits studies only" in done.stderr
