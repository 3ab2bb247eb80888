"""Reports what only torch knows, once per study in its own process; Keras has its own probe.

Reads scenarios as JSON from standard input. Writes one JSON document to standard output: versions,
devices, threads, problems and program digests of the scenarios. The parent never imports torch.
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
    scenarios = json.load(sys.stdin)["scenarios"]
    report = {**_software(), "cuda": _cuda(), "problems": find_problems(scenarios)}
    report["sources"] = hash_sources(scenarios) if not report["problems"] else {}
    json.dump(report, sys.stdout)


def _software() -> dict[str, Any]:
    has_cudnn = torch.cuda.is_available()
    return {**versions(), "cudnn": torch.backends.cudnn.version() if has_cudnn else None}


def versions() -> dict[str, Any]:
    """Read versions and thread counts without initializing CUDA, which would break later forks."""
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
        properties = torch.cuda.get_device_properties(index)
        devices.append(
            {
                "name": properties.name,
                "memory_mb": properties.total_memory // 2**20,
                "capability": f"{properties.major}.{properties.minor}",
                "multiprocessors": properties.multi_processor_count,
            }
        )
    return devices


if __name__ == "__main__":
    main()
