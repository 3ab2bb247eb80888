"""What only Keras and TensorFlow know, asked where a Keras scenario is: see worker/probe.py."""

from __future__ import annotations

import json
import sys

import keras
import tensorflow as tf

from harness.worker.scenario_check import find_problems, hash_sources


def main() -> None:
    asked = json.load(sys.stdin)
    found = find_problems(asked["scenarios"])
    answer = {
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "gpus": len(tf.config.list_physical_devices("GPU")),
        "problems": found,
        "sources": {} if found else hash_sources(asked["scenarios"]),
    }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
