"""Whether this machine has a GPU for the container, and a driver that is new enough."""

from __future__ import annotations

import subprocess

from container.engine import answers
from container.errors import ContainerError

OLDEST_DRIVER = 580  # of CUDA 13.0, which torch 2.13.0 is built for


def is_there() -> bool:
    return answers(["nvidia-smi", "-L"])


def check_driver() -> None:
    """Raises ContainerError where the driver is too old for the CUDA that torch is built for."""
    asked = subprocess.run(
        ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    )
    version = asked.stdout.strip().split("\n")[0]
    major = version.partition(".")[0]
    if major.isdigit() and int(major) < OLDEST_DRIVER:
        raise ContainerError(
            f"the GPU's driver is {version}, and CUDA 13.0 needs {OLDEST_DRIVER} "
            "or newer; update it, or measure the CPU: "
            "make bench CONTAINER=none ARGS=device=cpu"
        )
