"""A determinism setting, applied to Keras on TensorFlow; and what is then in effect, read back.

What it has no switch for (cuDNN's flags, cuBLAS's workspace, matmul precision) is left alone;
harness/core/switches.py knows that nothing here consults it.
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


def apply(asked: Determinism, device: str) -> None:
    """Sets what is asked for and touches nothing else; ``none`` touches no generator.

    Op determinism cannot be switched off again, nor threads be changed after the first operation:
    a process has one cell, so neither is ever needed.
    """
    _select_device(device)
    if asked.threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(asked.threads)
        tf.config.threading.set_inter_op_parallelism_threads(asked.threads)
    if asked.algorithms is Algorithms.require:
        tf.config.experimental.enable_op_determinism()
    if asked.seed is not None:  # Python's, NumPy's, TensorFlow's and Keras' own
        keras.utils.set_random_seed(asked.seed)


@cache
def _select_device(device: str) -> None:
    """Shows TensorFlow the one device that is asked for; it takes a GPU where it sees one."""
    kind, _, index = device.partition(":")
    gpus = tf.config.list_physical_devices("GPU")
    mine = [gpus[int(index or 0)]] if kind == "cuda" else []
    tf.config.set_visible_devices(mine, "GPU")
    for gpu in mine:  # else the first allocation takes nearly all of its memory
        tf.config.experimental.set_memory_growth(gpu, True)


def effective_settings() -> dict[str, Any]:
    """The values in effect, under the names of Determinism's fields."""
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
    """Within one operation; left alone, TensorFlow takes as many as it may use cores."""
    asked: int = tf.config.threading.get_intra_op_parallelism_threads()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return asked or usable or 1
