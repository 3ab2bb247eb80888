"""The components of a Keras step, in the order in which a step produces them.

The counterpart of harness/worker/torch_backend/components.py. Variables are named by their Keras
path (``model.sequential/dense/kernel``). The arrays are NumPy's; their digests equal those of torch
tensors with the same name, dtype, shape and bytes.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
from safetensors.numpy import save_file
from tensorflow.python.eager import context
from tensorflow.python.ops import stateful_random_ops

from harness.core.steps import Components
from harness.keras_scenario import Evaluation, Training
from harness.worker.hashing import array_part, hash_parts
from harness.worker.pytree import leaves
from harness.worker.snapshot_policy import save_once

Array = npt.NDArray[Any]
Named = Iterable[tuple[str, Array]]
SEED_STATE = "seed_generator_state"  # Keras' name for the variable of a layer's generator


def digest(named: Named, plain: Mapping[str, Any] | None = None) -> str:
    return hash_parts((array_part(name, array) for name, array in named), plain)


def to_array(value: Any) -> Array:
    """Convert a tensor or variable; the sparse gradient of an embedding becomes dense."""
    return np.asarray(tf.convert_to_tensor(value))


def rng(training: Training) -> str:
    """Digest the generators of Python, NumPy, TensorFlow, Keras and the models' layers."""
    version, internal, gauss = random.getstate()
    algorithm, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    arrays = [("python", np.array(internal, np.int64)), ("numpy", np.asarray(keys, np.int64))]
    operations = getattr(context.context(), "_rng", None)  # seeds operations without a seed
    if stateful_random_ops.global_generator is not None:
        arrays.append(("tensorflow", to_array(stateful_random_ops.global_generator.state)))
    if generator := global_state.get_global_attribute(GLOBAL_SEED_GENERATOR):
        arrays.append(("keras", to_array(generator.state)))
    for name, model in training.models.items():
        arrays += [
            (f"{name}.{variable.path}", to_array(variable))
            for variable in model.non_trainable_variables
            if variable.path.endswith(SEED_STATE)
        ]
    plain = {
        "python": [version, gauss],
        "numpy": [algorithm, position, has_gauss, cached],
        "tensorflow": [context.global_seed(), operations and operations.getstate()],
    }
    return digest(arrays, plain)


def step_digests(training: Training, rng_before: str, batch: Any, loss: Any) -> Components:
    return Components(
        rng=rng_before,
        batch=digest(_batch_arrays(batch)),
        buffers=digest(buffers(training)),
        loss=digest([("loss", to_array(loss))]),
        grads=digest(grads(training)),
        params=digest(params(training)),
        optimizer=optimizer(training),
    )


def final_digests(training: Training, loss: Any, evaluation: Evaluation) -> dict[str, str]:
    """Return the outcome digests at the end; trace and timing runs share the keys."""
    return {
        "loss": digest([("loss", to_array(loss))]),
        "grads": digest(grads(training)),
        "params": digest(params(training)),
        "buffers": digest(buffers(training)),
        "optimizer": optimizer(training),
        "predictions": digest([("predictions", evaluation.predictions)]),
    }


def params(training: Training) -> Iterator[tuple[str, Array]]:
    for name, model in training.models.items():
        for variable in model.trainable_variables:
            yield f"{name}.{variable.path}", to_array(variable)


def grads(training: Training) -> Iterator[tuple[str, Array]]:
    """Yield the gradients that exist; a missing gradient and a zero one differ in the digest."""
    for name, model in training.models.items():
        gradients = training.gradients.get(name, ())
        for variable, gradient in zip(model.trainable_variables, gradients, strict=bool(gradients)):
            if gradient is not None:
                yield f"{name}.{variable.path}", to_array(gradient)


def buffers(training: Training) -> Iterator[tuple[str, Array]]:
    """Yield non-trainable weights, such as batch norm statistics, without generator states."""
    for name, model in training.models.items():
        for variable in model.non_trainable_weights:
            yield f"{name}.{variable.path}", to_array(variable)


def optimizer(training: Training) -> str:
    """Digest all variables (moments, learning rate, step count) and the config's plain values."""
    arrays: list[tuple[str, Array]] = []
    plain: dict[str, str] = {}
    for name, optimizer_ in training.optimizers.items():
        arrays += [(f"{name}.{v.path}", to_array(v)) for v in optimizer_.variables]
        plain |= {path: repr(value) for path, value in leaves(optimizer_.get_config(), name)}
    return digest(arrays, plain)


def _batch_arrays(batch: Any) -> Iterator[tuple[str, Array]]:
    for path, value in leaves(batch, "batch"):
        if isinstance(value, np.ndarray | int | float | tf.Tensor):
            yield path, np.asarray(value)


def save_snapshot(training: Training, folder: Path) -> str:
    """Save the parameters under their digest, and return it."""

    def save(path: Path) -> None:
        save_file({name: _to_storable(array) for name, array in params(training)}, path)

    return save_once(folder, digest(params(training)), save)


def _to_storable(array: Array) -> Array:
    """Convert bfloat16 and float8, which plain NumPy lacks, to float32 without loss."""
    return array.astype(np.float32) if array.dtype.kind == "V" else np.ascontiguousarray(array)
