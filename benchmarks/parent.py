"""The parent process: its start-up time, and its memory and CPU use during runs."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import psutil

from benchmarks.alternate import seconds

STUDY = [
    "scenario=mlp",
    "determinism=full",
    "runs.trace=8",
    "runs.timing=8",
    "launch.ahead=2",
    "study.repeat_failed=false",
]
SAMPLE_S = 0.1


def run() -> None:
    start_up_s = [seconds(ask_for_help) for _ in range(10)]
    print(f"harness --help: {median(start_up_s):.2f} s, median of 10  (under 0.6 s)")
    peak_mb, share = while_running()
    print(
        f"parent during runs: {peak_mb:.0f} MB, {share:.1%} of one core  (under 150 MB, under 2 %)"
    )


def ask_for_help() -> None:
    subprocess.run([sys.executable, "-m", "harness", "--help"], check=True, capture_output=True)


def while_running() -> tuple[float, float]:
    """Return peak resident memory in MiB and the share of a core, from first to last record."""
    with tempfile.TemporaryDirectory() as scratch:
        records = Path(scratch) / "study" / "runs"
        command = [sys.executable, "-m", "harness", f"study.dir={scratch}/study", *STUDY]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ}
        ) as process:
            return watched(psutil.Process(process.pid), records)


def watched(parent: psutil.Process, records: Path) -> tuple[float, float]:
    while not list(records.glob("*.json")):
        parent.status()  # raises psutil.NoSuchProcess if the study has ended
        time.sleep(SAMPLE_S)
    began, used, peak = time.perf_counter(), burnt(parent), 0.0
    planned = 2 * 8  # trace runs of two cells; the timing runs are a margin
    while len(list(records.glob("*.t*.*.json"))) < planned:
        parent.status()  # raises psutil.NoSuchProcess if the study has ended
        peak = max(peak, parent.memory_info().rss / 2**20)
        last, at = burnt(parent), time.perf_counter()
        time.sleep(SAMPLE_S)
    return peak, (last - used) / (at - began)


def burnt(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
