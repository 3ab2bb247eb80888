"""Reports Keras and TensorFlow versions and GPUs, in the environment of Keras scenarios.

The counterpart of harness/worker/torch_backend/probe.py.
"""

from __future__ import annotations

import json
import sys

import keras
import tensorflow as tf

from harness.worker.scenario_check import find_problems, hash_sources


def main() -> None:
    request = json.load(sys.stdin)
    problems = find_problems(request["scenarios"])
    answer = {
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "gpus": len(tf.config.list_physical_devices("GPU")),
        "problems": problems,
        "sources": {} if problems else hash_sources(request["scenarios"]),
    }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
