"""Who else computes on a GPU, asked of the driver (NVML); the parent has no CUDA of its own."""

from __future__ import annotations

import importlib.util


def is_computing(device: str) -> bool:
    """Whether any process holds a compute context on ``cuda:N``, at a moment when ours hold none.

    Workers make no context before their release and none outlives them, so whoever is found here
    is somebody else. False where the driver cannot be asked.
    """
    if importlib.util.find_spec("pynvml") is None:
        return False
    import pynvml  # noqa: PLC0415 - only on machines with a GPU

    index = int(device.partition(":")[2] or 0)
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        return bool(pynvml.nvmlDeviceGetComputeRunningProcesses(handle))
    except pynvml.NVMLError:
        return False
