"""CPU load of other processes, which disturbs a run's timing, and the run's own peak memory."""

from __future__ import annotations

import os
import time
from pathlib import Path

PROC_STAT = Path("/proc/stat")  # Linux; other systems give None


class SystemLoad:
    """Measures from its construction, before a run's work, to a call of ``others``."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.busy = _busy_s()
        self.own = _own_s()

    def others(self) -> float | None:
        """Share of all cores' time that other processes used, 0 to 1; None if not on Linux."""
        busy = _busy_s()
        if busy is None or self.busy is None:
            return None
        wall = (time.perf_counter() - self.began) * (os.cpu_count() or 1)
        return min(1.0, max(0.0, (busy - self.busy) - (_own_s() - self.own)) / wall)


def _busy_s() -> float | None:
    """Seconds since boot that cores were busy or stolen by the hypervisor, summed (proc(5))."""
    if not PROC_STAT.exists():
        return None
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(
        int, PROC_STAT.read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
