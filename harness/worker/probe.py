"""What only torch knows, asked once per study in a process of its own.

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

from harness.errors import UsageError
from harness.spec import Scenario
from harness.worker import scenario
from harness.worker.digest import digest


def main() -> None:
    asked = json.load(sys.stdin)
    answer = {**software(), "cuda": cuda(), "problems": problems(asked["scenarios"])}
    answer["sources"] = sources(asked["scenarios"]) if not answer["problems"] else {}
    json.dump(answer, sys.stdout)


def software() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torch_cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if torch.cuda.is_available() else None,
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "blas": "mkl" if torch.backends.mkl.is_available() else "other",
    }


def cuda() -> list[dict[str, Any]]:
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


def problems(scenarios: list[dict[str, Any]]) -> list[str]:
    """One sentence for each scenario whose program or options do not fit."""
    found = []
    for document in scenarios:
        asked = Scenario.from_json(document)
        try:
            scenario.options(scenario.load(asked), asked)
        except UsageError as error:
            found.append(str(error))
        except Exception as error:  # noqa: BLE001 - a user's file may raise anything
            found.append(f"scenario '{asked.label}' cannot be loaded: {error!r}")
    return list(dict.fromkeys(found))


def sources(scenarios: list[dict[str, Any]]) -> dict[str, str]:
    """A digest of each scenario's program, so that `resume` can tell that it has changed."""
    found = {}
    for document in scenarios:
        module = scenario.load(Scenario.from_json(document))
        with open(str(module.__file__), "rb") as file:  # noqa: PTH123
            program = torch.frombuffer(bytearray(file.read()), dtype=torch.uint8)
        found[document["name"]] = digest([("program", program)])
    return found


if __name__ == "__main__":
    main()
