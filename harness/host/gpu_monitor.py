"""Monitors a run's GPU from the parent, which has no CUDA, through the driver's library (NVML).

The throttle reasons are NVML's ``nvmlClocksEventReasons`` (NVML API reference, "Clocks Event
Reasons"); the older "throttle reasons" calls are deprecated.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass, field
from typing import Any

import psutil

# Reasons that slow a computation. Idling and clocks that a user has set are not faults.
THROTTLE_REASONS = {
    "software power cap": 0x04,
    "hardware slowdown": 0x08,
    "sync boost": 0x10,
    "software thermal slowdown": 0x20,
    "hardware thermal slowdown": 0x40,
    "hardware power brake": 0x80,
}


@dataclass
class GpuMonitor:
    """Contention and throttling of one run on ``device`` (``cuda:N``); other devices report none.

    ``contended``: a process that is not ours held a compute context before or after the run.
    ``throttled``: why the driver reduced the clocks, in the order of ``THROTTLE_REASONS``.
    """

    device: str
    contended: bool = False
    events: int = 0  # every reason observed, as NVML's bit mask
    handle: Any = field(init=False)

    def __post_init__(self) -> None:
        self.handle = _device_handle(self.device)

    @property
    def throttled(self) -> list[str]:
        return [reason for reason, bit in THROTTLE_REASONS.items() if self.events & bit]

    def check_processes(self) -> None:
        """Records whether other processes compute on the GPU; too slow to call during a run."""
        self.contended = self.contended or any(
            pid not in _own_pids() for pid in _compute_pids(self.handle)
        )

    def check_clocks(self) -> None:
        """Records why the driver reduces the clocks now; cheap enough to poll during a run."""
        self.events |= _clock_events(self.handle)


def _device_handle(device: str) -> Any:
    """NVML's handle of ``cuda:N``; None on other devices or if NVML is not available."""
    if not device.startswith("cuda") or importlib.util.find_spec("pynvml") is None:
        return None
    import pynvml  # noqa: PLC0415 - only for runs on a GPU

    try:
        pynvml.nvmlInit()
        index = driver_index(device)
        if isinstance(index, str):
            return pynvml.nvmlDeviceGetHandleByUUID(index)
        return pynvml.nvmlDeviceGetHandleByIndex(index)
    except pynvml.NVMLError:
        return None


def _compute_pids(handle: Any) -> list[int]:
    """Ids of processes with a compute context on the GPU; empty if the driver reports none."""
    if handle is None:
        return []
    import pynvml  # noqa: PLC0415

    try:
        return [process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)]
    except pynvml.NVMLError:
        return []


def _clock_events(handle: Any) -> int:
    """NVML's clock event reasons as a bit mask; 0 if the driver does not report them."""
    if handle is None:
        return 0
    import pynvml  # noqa: PLC0415

    try:
        return int(pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
    except pynvml.NVMLError:
        return 0


def _own_pids() -> set[int]:
    return {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}


def driver_index(device: str) -> int | str:
    """The driver's index or UUID of ``cuda:N``. Workers number GPUs in PCI order, as it does."""
    index = int(device.partition(":")[2] or 0)
    visible = [entry.strip() for entry in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    if index >= len(visible) or not visible[index]:
        return index
    return int(visible[index]) if visible[index].isdigit() else visible[index]
