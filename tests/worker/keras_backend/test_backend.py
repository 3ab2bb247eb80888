"""Keras on TensorFlow through real workers: the same evidence as of torch, without torch."""

from __future__ import annotations

import csv
import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.core.frameworks import FRAMEWORKS, environment_of
from harness.core.record import Outcome, RunRecord
from harness.core.spec import Algorithms, Cell, Determinism, Kind, RunSpec, Scenario
from harness.study.launcher import LocalLauncher
from harness.study.request import Launch
from tests.conftest import ROOT, SMALL, harness, study_of

INSTALLED = FRAMEWORKS["keras"].missing is None
pytestmark = [
    pytest.mark.keras,
    pytest.mark.skipif(not INSTALLED, reason="extra 'keras' not installed: make test-keras"),
]

OWN = '''
"""A Keras scenario that does what its option says, before its first step."""
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
    """One trace run of two repeats in a worker of its own."""

    def make(act: str = "train", **setting: Any) -> RunRecord:
        for part in ("runs", "logs"):
            (tmp_path / part).mkdir(exist_ok=True)
        (tmp_path / "own.py").write_text(OWN)
        source = str(tmp_path / "own.py")
        scenario = Scenario("own", "own", {"act": act}, False, source, "keras")
        cell = Cell(scenario, "seed", Determinism(**setting), "cpu")
        spec = RunSpec(cell, Kind.trace, 1, repeats=2, environment=environment_of(cell))
        launcher = LocalLauncher(tmp_path, Launch(), tick=lambda: None)
        return next(iter(launcher.launch([spec], 0)))

    return make


def test_a_run_tells_what_is_in_effect_and_that_no_torch_is_there(
    run: Callable[..., RunRecord],
) -> None:
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
    one, other = (dataclasses.replace(repeat, facts={}) for repeat in record.repeats)
    assert one == other, "a repeat begins as a fresh process does"


def test_an_operation_that_determinism_forbids_refuses(run: Callable[..., RunRecord]) -> None:
    record = run("draw", algorithms=Algorithms.require)
    assert (record.outcome, record.operation) == (Outcome.refused, "Random ops"), record.message


def test_a_loss_that_is_no_number_is_told(run: Callable[..., RunRecord]) -> None:
    assert run("nan", seed=1).outcome is Outcome.nan


def test_a_run_leaves_nothing_in_the_temporary_folder(
    run: Callable[..., RunRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    assert run(seed=1).outcome is Outcome.ok
    assert list(place.iterdir()) == []


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Traced and timed, with and without seeds and torch's flags."""
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
    assert done.returncode in (0, 1), done.stdout + done.stderr  # a twin may fail at two blocks
    return study_of(done, cwd)


def row(study: Path, setting: str, flags: bool) -> dict[str, str]:
    with (study / "tables" / "cells.csv").open() as file:
        rows = [one for one in csv.DictReader(file) if one["twin"] == "False"]
    wanted = f"scenario.torch_flags={flags}"  # as Hydra sweeps it
    return next(one for one in rows if one["determinism"] == setting and wanted in one["overrides"])


def records(study: Path, setting: str) -> list[dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in (study / "runs").glob("*.trace.*.json")]
    return [one for one in found if one["spec"]["cell"]["setting"] == setting]


def test_seeds_make_keras_identical_on_a_cpu_and_without_them_it_varies(study: Path) -> None:
    assert row(study, "seed", flags=False)["verdict"] == "identical"
    assert row(study, "none", flags=False)["verdict"].startswith("varies")


def test_distances_between_runs_are_measured_as_of_torch(study: Path) -> None:
    assert float(row(study, "none", flags=False)["weight_rel_l2"]) > 0.01
    assert float(row(study, "seed", flags=False)["weight_rel_l2"]) == 0


def test_a_keras_cell_is_timed_against_its_baseline(study: Path) -> None:
    assert float(row(study, "seed", flags=False)["step_ms"]) > 0
    assert row(study, "seed", flags=False)["runs_failed"] == "0"


def test_torchs_flags_leave_keras_alone_on_a_cpu(study: Path) -> None:
    ends: dict[str, set[str]] = {}
    for one in records(study, "seed"):
        for repeat in one["repeats"]:
            ends.setdefault(str(repeat["facts"]["torch_flags"]), set()).add(str(repeat["final"]))
    on = "{'cudnn.deterministic': True, 'cudnn.benchmark': False}"
    assert ends.keys() == {"None", on}
    assert ends["None"] == ends[on]
    assert len(ends[on]) == 1


def test_the_manifest_names_keras_and_tensorflow(study: Path) -> None:
    software = json.loads((study / "manifest.json").read_text())["software"]
    assert {"torch", "keras", "tensorflow"} <= software.keys()


PROGRAM = """
import json, sys
import keras, numpy as np, tensorflow as tf
from harness.worker.keras_backend import backend, components
from harness.scenarios import keras_cnn
from harness.keras_scenario import Context

def built(variant, seed=None, **options):
    keras.utils.clear_session()
    if seed is not None:
        keras.utils.set_random_seed(seed)
    small = dict(variant=variant, size=12, filters=3, hidden=8, steps=3, batch_size=8)
    return keras_cnn.build(keras_cnn.Options(**{**small, **options}), Context("cpu"))

def digests(training):
    before = components.rng(training)
    batch = next(training.batches())
    return vars(components.step_digests(training, before, batch, training.step(batch)))

told = {"equal": digests(built("question", 1)) == digests(built("question", 1))}
one, other = digests(built("question", 1)), digests(built("question", 2))
told["differ"] = [name for name in one if one[name] != other[name]]

training = built("question", 1)
variable = training.model.trainable_variables[0]
value = np.array(variable)
value.flat[0] = np.nextafter(value.flat[0], np.float32(9))
variable.assign(value)
nudged = digests(training)
told["nudged"] = [name for name in one if one[name] != nudged[name]]

start = lambda training: components.digest(components.params(training))
told["starts"] = {str(seeds): start(built("article", layer_seeds=seeds))
                  == start(built("article", layer_seeds=seeds)) for seeds in (True, False)}

training = built("question", 3)
for batch in training.batches():
    rng = components.rng(training)
    training.step(batch)
told["step_moves_dropout"] = components.rng(training) != rng
names = [dict(part(training)) for part in (components.params, components.grads, components.buffers)]
told["names"] = [sorted(one) for one in names]
before = [components.rng(training), *map(components.digest, (one.items() for one in names))]
training.evaluate(), training.facts()
parts = (components.params, components.grads, components.buffers)
after = [components.digest(part(training)) for part in parts]
told["after"] = before == [components.rng(training), *after]
rate = components.optimizer(training)
training.optimizer.learning_rate = 0.5
told["rate_counts"] = components.optimizer(training) != rate

training = built("article", 4, size=16, filters=5, steps=150, batch_size=32)
for batch in training.batches():
    training.step(batch)
told["accuracy"] = training.evaluate().accuracy

sentences = [
    "{{node x}} A deterministic GPU implementation of AdjustContrastv2 is not available. [Op:A]",
    "A deterministic GPU implementation of fused batch-norm backprop, when training is disabled, "
    "is not currently available.",
    "Deterministic GPU implementation of SoftmaxCrossEntropyWithLogits not available.",
    "Timestamp cannot be called when determinism is enabled",
]
told["refused"] = [next(found[1] for pattern in backend.REFUSALS if (found := pattern.search(one)))
                   for one in sentences]
told["torch"] = "torch" in sys.modules
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """What one process with Keras, and no other, tells of the parts."""
    assert importlib.util.find_spec("torch"), "torch could be imported, if anything asked for it"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        env={
            **FRAMEWORKS["keras"].environment,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
        },
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.split("\n")[-2])
    return answer


def test_nothing_of_the_keras_worker_imports_torch(told: dict[str, Any]) -> None:
    assert told["torch"] is False


def test_each_component_of_a_keras_step_changes_where_something_changed(
    told: dict[str, Any],
) -> None:
    assert told["equal"]
    assert told["differ"] == ["rng", "batch", "buffers", "loss", "grads", "params", "optimizer"]
    assert "batch" not in told["nudged"]
    assert {"grads", "params"} <= set(told["nudged"])
    assert told["step_moves_dropout"]
    assert told["rate_counts"]


def test_every_parameter_has_a_gradient_of_its_name_and_no_generator_is_a_buffer(
    told: dict[str, Any],
) -> None:
    params, grads, buffers = told["names"]
    assert params == grads
    assert len(params) == 4 * 2 + 3 * 2
    assert [name.split("/")[-1] for name in buffers].count("moving_variance") == len(buffers) / 2


def test_evaluating_keras_changes_no_state_and_draws_nothing(told: dict[str, Any]) -> None:
    assert told["after"]


def test_layer_seeds_alone_fix_the_first_weights(told: dict[str, Any]) -> None:
    assert told["starts"] == {"True": True, "False": False}


def test_the_keras_net_learns_digits(told: dict[str, Any]) -> None:
    assert told["accuracy"] > 0.6


def test_tensorflows_refusals_name_their_operation(told: dict[str, Any]) -> None:
    assert told["refused"] == [
        "AdjustContrastv2",
        "fused batch-norm backprop",
        "SoftmaxCrossEntropyWithLogits",
        "Timestamp",
    ]
