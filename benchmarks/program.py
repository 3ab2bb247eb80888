"""A script as the harness times it, compared with `python train.py`: seconds per run, and memory.

The script evaluates 100 batches after each step, whose memory an observer could keep, and prints
its own peak memory.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.alternate import seconds

RUNS = 8  # timed
PROGRAM = """
import re
from pathlib import Path

import torch
from torch import nn

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(256, 512), nn.ReLU(), nn.Linear(512, 10))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(4):
    x, y = torch.randn(512, 256), torch.randint(10, (512,))
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step()
    with torch.no_grad():
        for _ in range(100):
            net(torch.randn(512, 256))
print("peak", re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def run() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "train.py").write_text(PROGRAM)
        run_study(folder, runs=2)  # so that all files are in the page cache
        run_study(folder, RUNS)
        study = folder / f"study-{RUNS}"
        ends = sorted(path.stat().st_mtime for path in (study / "runs").glob("*.json"))
        run_s = (ends[-1] - ends[0]) / (len(ends) - 1)
        observed = [path.read_text() for path in (study / "logs").glob("*.log")]
        printed: list[str] = []
        plain_s = median(seconds(lambda: printed.append(run_plainly(folder))) for _ in ends)
    print(
        f"seconds per run of a timed script − plain: {run_s - plain_s:+.2f} "
        f"({run_s:.2f} against {plain_s:.2f})  (at most 0.3)"
    )
    ratio = peak_mb(observed) / peak_mb(printed)
    print(
        f"peak memory of a timed script / plain: {ratio:.3f} "
        f"({peak_mb(observed):.0f} MB against {peak_mb(printed):.0f} MB)  (at most 1.02)"
    )


def run_study(folder: Path, runs: int) -> None:
    words = ["runs.trace=1", f"runs.timing={runs}", f"study.dir=study-{runs}"]
    command = [sys.executable, "-m", "harness", *words, "--", "python", "train.py"]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode not in (0, 1):  # 1: a twin check failed by chance
        raise RuntimeError(done.stderr)


def run_plainly(folder: Path) -> str:
    command = [sys.executable, "train.py"]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def peak_mb(outputs: list[str]) -> float:
    """The median of the peaks that runs printed, in MiB."""
    return median(int(output.split("peak")[1]) / 2**10 for output in outputs)
