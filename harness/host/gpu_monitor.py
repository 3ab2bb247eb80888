"""A GPU watched from outside while a run has it, by the driver (NVML); the parent has no CUDA.

The reasons for which clocks are held back are NVML's ``nvmlClocksEventReasons`` (NVML API
reference, "Clocks Event Reasons"); the older "throttle reasons" calls are deprecated.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass, field
from typing import Any

import psutil

# What slows a computation. Idling and clocks that somebody set are no faults and are left out.
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
    """Looked at before, during and after a run on ``device`` (``cuda:N``); elsewhere it is blind.

    ``contended``: a process that is none of ours held a compute context, seen before or after.
    ``throttled``: for what reasons the clocks were held back, in the order of ``HELD_BACK``.
    """

    device: str
    contended: bool = False
    events: int = 0  # all reasons seen, as NVML's bits
    handle: Any = field(init=False)

    def __post_init__(self) -> None:
        self.handle = _device_handle(self.device)

    @property
    def throttled(self) -> list[str]:
        return [reason for reason, bit in THROTTLE_REASONS.items() if self.events & bit]

    def check_processes(self) -> None:
        """Notes who else computes there; too dear to be done beside a run."""
        self.contended = self.contended or any(
            pid not in _own_pids() for pid in _compute_pids(self.handle)
        )

    def check_clocks(self) -> None:
        """Notes for what reasons the driver holds the clocks back now: one cheap question."""
        self.events |= _clock_events(self.handle)


def _device_handle(device: str) -> Any:
    """NVML's handle of ``cuda:N``; None on other devices and where the driver cannot be asked."""
    if not device.startswith("cuda") or importlib.util.find_spec("pynvml") is None:
        return None
    import pynvml  # noqa: PLC0415 - only for runs on a GPU

    try:
        pynvml.nvmlInit()
        place = driver_index(device)
        if isinstance(place, str):
            return pynvml.nvmlDeviceGetHandleByUUID(place)
        return pynvml.nvmlDeviceGetHandleByIndex(place)
    except pynvml.NVMLError:
        return None


def _compute_pids(handle: Any) -> list[int]:
    """Process ids with a compute context on the GPU; none where the driver does not tell."""
    if handle is None:
        return []
    import pynvml  # noqa: PLC0415

    try:
        return [process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle)]
    except pynvml.NVMLError:
        return []


def _clock_events(handle: Any) -> int:
    """The bits of NVML's clock event reasons; 0 where the driver does not tell."""
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
    """The driver's number or UUID of ``cuda:N``; workers count by the bus, as the driver does."""
    index = int(device.partition(":")[2] or 0)
    visible = [one.strip() for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    if index >= len(visible) or not visible[index]:
        return index
    return int(visible[index]) if visible[index].isdigit() else visible[index]
