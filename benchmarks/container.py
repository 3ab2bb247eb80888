"""Overhead of the container: the same files run inside and outside it, alternating.

Outside, the unpacked image runs in a chroot: Python, torch and the C library are identical, and
only the container's isolation differs (namespaces, seccomp, cgroup, overlay file system).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.alternate import format_ratio
from container.image import NAME, ROOT
from container.run import FLAGS
from harness.analysis.cost import paired_ratio
from tests.container.private_engine import (
    CLIENT,
    build_settings,
    make_base,
    make_wheels,
    private_engine,
)

PAIRS = 20
PROGRAM = """
import torch
from harness.worker.torch_backend.timer import time_training
from harness.scenarios import {scenario} as scenario
from harness.scenario import Context
cpu = torch.device("cpu")
reading = time_training(scenario.build(scenario.Options(), Context(cpu)), 5, cpu)
print(reading.counted_s / reading.counted_steps)
"""


def run() -> None:
    with private_engine() as environment, tempfile.TemporaryDirectory() as scratch:
        folders = {name: Path(scratch) / name for name in ("wheels", "conf", "root")}
        for folder in folders.values():
            folder.mkdir()
        make_base(environment)
        make_wheels(environment, folders["wheels"])
        subprocess.run(
            [sys.executable, "-m", "container", "image"],
            cwd=ROOT,
            check=True,
            env={**environment, **build_settings(folders["conf"])},
        )
        with unpacked(environment, folders["root"]) as outside:
            inside = [CLIENT, "run", *FLAGS, "--entrypoint", "python", f"{NAME}:cpu"]
            for scenario in ("mlp", "cnn"):
                compare(scenario, inside, outside, environment)


@contextmanager
def unpacked(environment: dict[str, str], root: Path) -> Iterator[list[str]]:
    """Unpack the image and yield the command that starts its Python without a container."""
    export = 'set -o pipefail; id=$("$1" create "$2"); "$1" export "$id" | tar -C "$3" -x'
    subprocess.run(
        ["bash", "-c", export, "export", CLIENT, f"{NAME}:cpu", str(root)],
        env=environment,
        check=True,
    )
    mounts = [root / "proc", root / "sys", root / "dev"]
    for mount in mounts:
        subprocess.run(["mount", "--rbind", f"/{mount.name}", str(mount)], check=True)
        subprocess.run(["mount", "--make-rslave", str(mount)], check=True)
    python = 'cd /bench && exec .venv/bin/python -c "$1"'
    try:
        yield [
            "chroot",
            "--userspec=10001:10001",
            str(root),
            "/usr/bin/env",
            "-i",
            "HOME=/tmp",
            "/bin/sh",
            "-c",
            python,
            "python",
        ]
    finally:
        for mount in mounts:
            subprocess.run(["umount", "--recursive", "--lazy", str(mount)], check=True)


def compare(
    scenario: str, inside: list[str], outside: list[str], environment: dict[str, str]
) -> None:
    """Print step time and whole process time inside / outside, from pairs in random order."""
    program = PROGRAM.format(scenario=scenario)
    arms = {"inside": [*inside, "-c", program], "outside": [*outside, program]}
    steps: dict[str, dict[int, float]] = {name: {} for name in arms}
    wholes: dict[str, dict[int, float]] = {name: {} for name in arms}
    order = random.Random(0)
    for pair in range(-1, PAIRS):  # the first pair warms the file cache and is not counted
        for name in order.sample(sorted(arms), len(arms)):
            began = time.perf_counter()
            step_s = step_time(arms[name], environment)
            if pair >= 0:
                wholes[name][pair] = time.perf_counter() - began
                steps[name][pair] = step_s
    for quantity, times in (("step", steps), ("whole process", wholes)):
        ratio = paired_ratio(times["inside"], times["outside"])
        assert ratio is not None
        print(
            f"{quantity} in the container / outside, {scenario}: {format_ratio(ratio)}", flush=True
        )


def step_time(words: Sequence[str], environment: dict[str, str]) -> float:
    done = subprocess.run(
        words, env={**os.environ, **environment}, check=True, text=True, capture_output=True
    )
    return float(done.stdout)
