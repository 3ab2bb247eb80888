"""Who else computes on a GPU, asked of the driver (NVML); the parent has no CUDA of its own."""

from __future__ import annotations

import importlib.util
import os

import psutil


def is_computing(device: str) -> bool:
    """Whether a process that is none of ours holds a compute context on ``cuda:N``.

    False where the driver cannot be asked.
    """
    if importlib.util.find_spec("pynvml") is None:
        return False
    import pynvml  # noqa: PLC0415 - only on machines with a GPU

    ours = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(driver_index(device))
        running = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except pynvml.NVMLError:
        return False
    return any(process.pid not in ours for process in running)


def driver_index(device: str) -> int:
    """The driver's number of ``cuda:N``; workers count in the order of the bus, as it does."""
    index = int(device.partition(":")[2] or 0)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    return int(visible[index]) if index < len(visible) and visible[index].isdigit() else index
