"""Checks for a GPU and for a driver that is recent enough for the image."""

from __future__ import annotations

import subprocess

from container.engine import answers
from container.errors import ContainerError

OLDEST_DRIVER = 580  # required by CUDA 13.0, for which torch 2.13.0 is built


def is_there() -> bool:
    return answers(["nvidia-smi", "-L"])


def check_driver() -> None:
    """Raises ContainerError if the driver is too old for the CUDA version torch is built for."""
    query = subprocess.run(
        ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    )
    version = query.stdout.strip().split("\n")[0]
    major = version.partition(".")[0]
    if major.isdigit() and int(major) < OLDEST_DRIVER:
        raise ContainerError(
            f"the GPU driver is {version}, but CUDA 13.0 needs {OLDEST_DRIVER} or newer; "
            "update it, or run on the CPU: make bench CONTAINER=none ARGS=device=cpu"
        )
