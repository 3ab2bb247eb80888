"""The Keras backend in real workers gives the same evidence as torch's, without torch."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.core.frameworks import FRAMEWORKS, environment_of
from harness.core.record import Outcome, RunRecord
from harness.core.spec import Algorithms, Cell, Determinism, Kind, RunSpec, Scenario
from harness.study.launcher import LocalLauncher
from harness.study.request import Launch
from tests.conftest import SMALL, harness, study_of

INSTALLED = FRAMEWORKS["keras"].missing is None

pytestmark = [
    pytest.mark.keras,
    pytest.mark.skipif(not INSTALLED, reason="extra 'keras' not installed: make test-keras"),
]

OWN = '''
"""A Keras scenario that draws or gets NaN as input, if its option says so."""
from dataclasses import dataclass
import keras, numpy as np, tensorflow as tf
from harness.scenarios import keras_mlp

@dataclass(frozen=True)
class Options:
    act: str = "train"

def build(options, context):
    if options.act == "draw":
        tf.random.normal((2,))
    training = keras_mlp.build(keras_mlp.Options(steps=3), context)
    if options.act == "nan":
        training.train.inputs[:] = np.nan
    return training
'''


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., RunRecord]:
    """Runs one trace run of two repeats in a worker process."""

    def run_worker(act: str = "train", **setting: Any) -> RunRecord:
        for folder in ("runs", "logs"):
            (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / "own.py").write_text(OWN)
        source = str(tmp_path / "own.py")
        scenario = Scenario("own", "own", {"act": act}, False, source, "keras")
        cell = Cell(scenario, "seed", Determinism(**setting), "cpu")
        spec = RunSpec(cell, Kind.trace, 1, repeats=2, environment=environment_of(cell))
        launcher = LocalLauncher(tmp_path, Launch(), tick=lambda: None)
        return next(iter(launcher.launch([spec], 0)))

    return run_worker


def test_a_run_records_its_effective_settings(run: Callable[..., RunRecord]) -> None:
    """The effective settings are the requested ones, and two repeats are equal apart from facts."""
    record = run(seed=7, algorithms=Algorithms.require, threads=1, python_hash_seed=3)
    assert record.outcome is Outcome.ok, record.message
    for repeat in record.repeats:
        assert repeat.facts == {
            "op_determinism": True,
            "intra_op_threads": 1,
            "inter_op_threads": 1,
            "torch_flags": None,
        }
    assert record.effective | {"tf32": None} == {
        "seed": 7,
        "python_hash_seed": 3,
        "algorithms": "require",
        "threads": 1,
        "tf32": None,
    }
    first, second = (dataclasses.replace(repeat, facts={}) for repeat in record.repeats)
    assert first == second, "a repeat must begin like a new process"


def test_a_forbidden_operation_is_recorded_as_refused(run: Callable[..., RunRecord]) -> None:
    """A run ends as refused, with the name of the operation, if deterministic mode forbids it."""
    record = run("draw", algorithms=Algorithms.require)
    assert (record.outcome, record.operation) == (Outcome.refused, "Random ops"), record.message


def test_a_nan_loss_is_recorded(run: Callable[..., RunRecord]) -> None:
    """A run whose loss is NaN has the outcome ``nan``."""
    assert run("nan", seed=1).outcome is Outcome.nan


def test_a_run_leaves_no_temporary_files(
    run: Callable[..., RunRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder that ``TMPDIR`` names is empty after a run."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    assert run(seed=1).outcome is Outcome.ok
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with trace and timing runs, with and without seeds and torch's flags."""
    cwd = tmp_path_factory.mktemp("keras")
    done = harness(
        "-m",
        "scenario=keras_cnn",
        "scenario.torch_flags=false,true",
        "determinism=none,seed",
        "scenario.steps=6",
        "scenario.size=16",
        "study.control=null",
        *SMALL,
        cwd=cwd,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr  # 1: a twin fails by chance
    return study_of(done, cwd)


def read_row(study: Path, setting: str, flags: bool) -> dict[str, str]:
    with (study / "tables" / "cells.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["twin"] == "False"]
    wanted = f"scenario.torch_flags={flags}"  # as in a sweep of Hydra
    return next(row for row in rows if row["determinism"] == setting and wanted in row["overrides"])


def read_records(study: Path, setting: str) -> list[dict[str, Any]]:
    documents = [json.loads(path.read_text()) for path in (study / "runs").glob("*.trace.*.json")]
    return [document for document in documents if document["spec"]["cell"]["setting"] == setting]


def test_keras_is_identical_with_seeds_and_varies_without(study: Path) -> None:
    """On a CPU, the verdict is identical with seeds and varies without them."""
    assert read_row(study, "seed", flags=False)["verdict"] == "identical"
    assert read_row(study, "none", flags=False)["verdict"].startswith("varies")


def test_distances_between_runs_are_measured(study: Path) -> None:
    """The relative distance of weights is 0 with seeds and more than 1 % without them."""
    assert float(read_row(study, "none", flags=False)["weight_rel_l2"]) > 0.01
    assert float(read_row(study, "seed", flags=False)["weight_rel_l2"]) == 0


def test_a_keras_cell_is_timed(study: Path) -> None:
    """The seeded cell has a time per step and no failed runs."""
    assert float(read_row(study, "seed", flags=False)["step_ms"]) > 0
    assert read_row(study, "seed", flags=False)["runs_failed"] == "0"


def test_torch_flags_do_not_affect_keras_on_a_cpu(study: Path) -> None:
    """All seeded runs end with the same digests, with and without torch's flags."""
    finals: dict[str, set[str]] = {}
    for record in read_records(study, "seed"):
        for repeat in record["repeats"]:
            finals.setdefault(str(repeat["facts"]["torch_flags"]), set()).add(str(repeat["final"]))
    on = "{'cudnn.deterministic': True, 'cudnn.benchmark': False}"
    assert finals.keys() == {"None", on}
    assert finals["None"] == finals[on]
    assert len(finals[on]) == 1


def test_the_manifest_names_keras_and_tensorflow(study: Path) -> None:
    """The manifest's software includes torch, Keras and TensorFlow."""
    software = json.loads((study / "manifest.json").read_text())["software"]
    assert {"torch", "keras", "tensorflow"} <= software.keys()
