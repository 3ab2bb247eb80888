"""A real Slurm and a real Ray of two nodes each, and a program that gives time to disturb it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from tests.cluster.private_slurm import Slurm, private_slurm
from tests.conftest import ROOT

# Three seconds of training; each run names its process in a folder outside its sandbox.
TRAIN = """
    import os
    import pathlib
    import time

    import torch

    pathlib.Path({began!r}, str(os.getpid())).touch()
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(6):
        optimizer.zero_grad()
        model(torch.randn(8, 4)).square().mean().backward()
        optimizer.step()
        time.sleep(0.5)
"""


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    with private_slurm() as running:
        yield running


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A folder with a program, in which commands are typed."""
    began = tmp_path / "began"
    began.mkdir()
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text(dedent(TRAIN).format(began=str(began)))
    return folder


class RayNodes:
    """Two Ray nodes in a process of their own."""

    def __init__(self) -> None:
        self.environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.cluster.ray_nodes"],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self._answer()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill_second(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("kill\n")
        self.process.stdin.flush()
        assert self._answer() == "killed"

    def close(self) -> None:
        self.process.communicate()


@pytest.fixture
def ray_nodes() -> Iterator[RayNodes]:
    pytest.importorskip("ray", reason="needs Ray, which `make setup-cluster` installs")
    nodes = RayNodes()
    yield nodes
    nodes.close()


def start(*words: str, cwd: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    """Starts the program itself."""
    return subprocess.Popen(
        [sys.executable, "-m", "harness", *words],
        cwd=cwd,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str], limit_s: float = 180.0) -> str:
    """What the program printed; fails if it did not end with status 0."""
    output, _ = process.communicate(timeout=limit_s)
    assert process.returncode == 0, output
    return output


def wait_until(happened: Callable[[], object], limit_s: float = 120.0) -> None:
    deadline = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def training(program: Path) -> list[int]:
    """The processes in which the program trains now."""
    began = [int(path.name) for path in (program.parent / "began").iterdir()]
    return [process for process in began if Path(f"/proc/{process}").exists()]
