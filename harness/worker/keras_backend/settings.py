"""Applies a determinism setting to Keras on TensorFlow, and reads the effective settings back.

Settings without a TensorFlow counterpart (cuDNN flags, cuBLAS workspace, matmul precision) are
ignored; harness/core/switches.py lists them.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.framework.config import is_op_determinism_enabled

from harness.core.spec import Algorithms, Determinism


def apply(requested: Determinism, device: str) -> None:
    """Apply the requested settings and nothing else; ``none`` touches no generator.

    Op determinism cannot be disabled again, and threads cannot be changed after the first
    operation. Neither is needed, because a process runs one cell.
    """
    _select_device(device)
    if requested.threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(requested.threads)
        tf.config.threading.set_inter_op_parallelism_threads(requested.threads)
    if requested.algorithms is Algorithms.require:
        tf.config.experimental.enable_op_determinism()
    if requested.seed is not None:  # seeds Python, NumPy, TensorFlow and Keras
        keras.utils.set_random_seed(requested.seed)


@cache
def _select_device(device: str) -> None:
    """Make only the requested device visible: TensorFlow uses any GPU that it sees."""
    kind, _, index = device.partition(":")
    gpus = tf.config.list_physical_devices("GPU")
    visible = [gpus[int(index or 0)]] if kind == "cuda" else []
    tf.config.set_visible_devices(visible, "GPU")
    for gpu in visible:  # otherwise the first allocation takes nearly all of its memory
        tf.config.experimental.set_memory_growth(gpu, True)


def effective_settings() -> dict[str, Any]:
    """Return the effective settings, keyed by the field names of Determinism."""
    hash_seed = os.environ.get("PYTHONHASHSEED")
    algorithms = Algorithms.require if is_op_determinism_enabled() else Algorithms.allow
    return {
        "seed": context.global_seed(),
        "python_hash_seed": int(hash_seed) if hash_seed and hash_seed.isdigit() else None,
        "algorithms": str(algorithms),
        "threads": threads(),
        "tf32": tf.config.experimental.tensor_float_32_execution_enabled(),
    }


def threads() -> int:
    """Return the threads of one operation; TensorFlow's default is one for each usable core."""
    configured: int = tf.config.threading.get_intra_op_parallelism_threads()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return configured or usable or 1
