"""Components of a Keras training, observed in one process that has TensorFlow alone."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from harness.core.frameworks import FRAMEWORKS
from tests.conftest import ROOT

INSTALLED = FRAMEWORKS["keras"].missing is None

pytestmark = [
    pytest.mark.keras,
    pytest.mark.skipif(not INSTALLED, reason="extra 'keras' not installed: make test-keras"),
]

PROGRAM = """
import json, sys
import keras, numpy as np, tensorflow as tf
from harness.worker.keras_backend import backend, components
from harness.scenarios import keras_cnn
from harness.keras_scenario import Context

def build(variant, seed=None, **options):
    keras.utils.clear_session()
    if seed is not None:
        keras.utils.set_random_seed(seed)
    small = dict(variant=variant, size=12, filters=3, hidden=8, steps=3, batch_size=8)
    return keras_cnn.build(keras_cnn.Options(**{**small, **options}), Context("cpu"))

def digests(training):
    before = components.rng(training)
    batch = next(training.batches())
    return vars(components.step_digests(training, before, batch, training.step(batch)))

results = {"equal": digests(build("question", 1)) == digests(build("question", 1))}
first, second = digests(build("question", 1)), digests(build("question", 2))
results["differ"] = [name for name in first if first[name] != second[name]]

training = build("question", 1)
variable = training.model.trainable_variables[0]
value = np.array(variable)
value.flat[0] = np.nextafter(value.flat[0], np.float32(9))
variable.assign(value)
nudged = digests(training)
results["nudged"] = [name for name in first if first[name] != nudged[name]]

initial = lambda training: components.digest(components.params(training))
results["starts"] = {str(seeds): initial(build("article", layer_seeds=seeds))
                     == initial(build("article", layer_seeds=seeds)) for seeds in (True, False)}

training = build("question", 3)
for batch in training.batches():
    rng = components.rng(training)
    training.step(batch)
results["step_moves_dropout"] = components.rng(training) != rng
named = [dict(part(training)) for part in (components.params, components.grads, components.buffers)]
results["names"] = [sorted(arrays) for arrays in named]
before = [components.rng(training), *map(components.digest, (arrays.items() for arrays in named))]
training.evaluate(), training.facts()
parts = (components.params, components.grads, components.buffers)
after = [components.digest(part(training)) for part in parts]
results["after"] = before == [components.rng(training), *after]
rate = components.optimizer(training)
training.optimizer.learning_rate = 0.5
results["rate_counts"] = components.optimizer(training) != rate

training = build("article", 4, size=16, filters=5, steps=150, batch_size=32)
for batch in training.batches():
    training.step(batch)
results["accuracy"] = training.evaluate().accuracy

messages = [
    "{{node x}} A deterministic GPU implementation of AdjustContrastv2 is not available. [Op:A]",
    "A deterministic GPU implementation of fused batch-norm backprop, when training is disabled, "
    "is not currently available.",
    "Deterministic GPU implementation of SoftmaxCrossEntropyWithLogits not available.",
    "Timestamp cannot be called when determinism is enabled",
]
results["refused"] = [
    next(match[1] for pattern in backend.REFUSALS if (match := pattern.search(message)))
    for message in messages
]
results["torch"] = "torch" in sys.modules
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    """Results of one process that imports Keras."""
    assert importlib.util.find_spec("torch"), "the test needs a torch that could be imported"
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


def test_the_keras_backend_does_not_import_torch(results: dict[str, Any]) -> None:
    """A process that trains Keras scenarios has not imported torch."""
    assert results["torch"] is False


def test_a_component_of_a_keras_step_changes_if_its_part_changes(results: dict[str, Any]) -> None:
    """Another seed, weight, dropout draw or learning rate changes the digests that depend on it."""
    assert results["equal"]
    assert results["differ"] == ["rng", "batch", "buffers", "loss", "grads", "params", "optimizer"]
    assert "batch" not in results["nudged"]
    assert {"grads", "params"} <= set(results["nudged"])
    assert results["step_moves_dropout"]
    assert results["rate_counts"]


def test_gradients_have_the_names_of_parameters(results: dict[str, Any]) -> None:
    """Every parameter has a gradient of the same name, and buffers are only means and variances."""
    params, grads, buffers = results["names"]
    assert params == grads
    assert len(params) == 4 * 2 + 3 * 2
    assert [name.split("/")[-1] for name in buffers].count("moving_variance") == len(buffers) / 2


def test_evaluating_keras_changes_no_state_and_draws_nothing(results: dict[str, Any]) -> None:
    """Evaluation changes no generator, parameter, gradient or buffer."""
    assert results["after"]


def test_layer_seeds_fix_the_initial_weights(results: dict[str, Any]) -> None:
    """Without a global seed, initial weights are equal only if the layers have seeds."""
    assert results["starts"] == {"True": True, "False": False}


def test_the_keras_net_learns_digits(results: dict[str, Any]) -> None:
    """The article's net reaches more than 60 % accuracy."""
    assert results["accuracy"] > 0.6


def test_the_operation_is_read_from_refusals_of_tensorflow(results: dict[str, Any]) -> None:
    """The name of the operation is found in each form of TensorFlow's message."""
    assert results["refused"] == [
        "AdjustContrastv2",
        "fused batch-norm backprop",
        "SoftmaxCrossEntropyWithLogits",
        "Timestamp",
    ]
