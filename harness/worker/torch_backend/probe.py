"""What only torch knows, asked once per study in a process of its own; Keras has its own probe.

Reads cells from standard input, writes one JSON document to standard output: versions, devices,
threads, and what about the cells cannot run here. Parents have no torch.
"""

from __future__ import annotations

import json
import platform
import sys
from typing import Any

import numpy as np
import torch

from harness.worker.scenario_check import find_problems, hash_sources


def main() -> None:
    asked = json.load(sys.stdin)
    answer = {**_software(), "cuda": _cuda(), "problems": find_problems(asked["scenarios"])}
    answer["sources"] = hash_sources(asked["scenarios"]) if not answer["problems"] else {}
    json.dump(answer, sys.stdout)


def _software() -> dict[str, Any]:
    has_cudnn = torch.cuda.is_available()
    return {**versions(), "cudnn": torch.backends.cudnn.version() if has_cudnn else None}


def versions() -> dict[str, Any]:
    """What can be read without waking a GPU's driver, which forks of the process need asleep."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_cuda": torch.version.cuda,
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "blas": "mkl" if torch.backends.mkl.is_available() else "other",
    }


def _cuda() -> list[dict[str, Any]]:
    if not torch.cuda.is_available():
        return []
    devices = []
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        devices.append(
            {
                "name": found.name,
                "memory_mb": found.total_memory // 2**20,
                "capability": f"{found.major}.{found.minor}",
                "multiprocessors": found.multi_processor_count,
            }
        )
    return devices


if __name__ == "__main__":
    main()
