"""Real workers that do what an option says, spawned or forked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from harness.core.record import RunRecord
from harness.core.spec import Algorithms, Cell, Determinism, Kind, RunSpec, Scenario
from harness.study.fork_server import ForkServers, in_turn
from harness.study.launcher import LocalLauncher
from harness.study.request import Launch
from harness.study.worker_process import Descriptors, Process, spawn

PROGRAM = '''
"""A scenario that does what its option says."""
import os, signal, time
from dataclasses import dataclass
from pathlib import Path
import torch
from harness.scenario import Evaluation, Training

@dataclass(frozen=True)
class Options:
    act: str = "train"
    mark: str = ""

class Acting(Training):
    def __init__(self, options):
        self.options = options
        self.model = torch.nn.Linear(1, 1)
        self.models = {"model": self.model}
        self.optimizers = {"sgd": torch.optim.SGD(self.model.parameters(), lr=0.1)}
    def batches(self):
        for _ in range(5):
            yield torch.ones(1, 1)
    def step(self, batch):
        act = self.options.act
        if act == "raise":
            raise RuntimeError("token=c4n4ry went wrong")
        if act == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        if act == "exit":
            os._exit(7)
        if act == "hang":
            time.sleep(600)
        if act == "slow":
            time.sleep(0.1)
        if act == "killed once" and not Path(self.options.mark).exists():
            Path(self.options.mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if act == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if act == "meet":
            Path(self.options.mark, str(os.getpid())).touch()
            while len(os.listdir(self.options.mark)) < 2:
                time.sleep(0.01)
            self.cores = sorted(os.sched_getaffinity(0))
        if act == "refuse":
            return torch.ones(1, 1, requires_grad=True).sum() * torch.nn.functional.max_unpool2d(
                torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2, dtype=torch.long), 2).sum().detach()
        loss = self.model(batch).sum() * (float("nan") if act == "nan" else 1)
        loss.backward()
        return loss.detach()
    def evaluate(self):
        return Evaluation(torch.zeros(3), None)
    def facts(self):
        return {"cores": self.cores} if self.options.act == "meet" else {}

def build(options, context):
    print("hello from the training")
    return Acting(options)
'''


@pytest.fixture
def acting_study(tmp_path: Path) -> Path:
    for part in ("runs", "logs"):
        (tmp_path / part).mkdir()
    (tmp_path / "acting.py").write_text(PROGRAM)
    return tmp_path


@pytest.fixture
def spec(acting_study: Path) -> Callable[..., RunSpec]:
    def make(
        act: str = "train",
        number: int = 1,
        kind: Kind = Kind.timing,
        threads: int | None = None,
        **options: str,
    ) -> RunSpec:
        path = str(acting_study / "acting.py")
        scenario = Scenario("acting", "acting", {"act": act, **options}, False, path)
        algorithms = Algorithms.require if act == "refuse" else Algorithms.allow
        setting = Determinism(seed=1, algorithms=algorithms, threads=threads)
        cell = Cell(scenario, "seed", setting, "cpu")
        return RunSpec(cell, kind, number, warmup=1)

    return make


Start = Callable[[RunSpec, Descriptors], Process]

Spec = Callable[..., RunSpec]

Run = Callable[..., list[RunRecord]]


@pytest.fixture(scope="module")
def fork() -> Iterator[Start]:
    servers = ForkServers(in_turn)
    yield servers.start
    servers.close()


@pytest.fixture(params=[pytest.param("spawn", marks=pytest.mark.slow), "fork"])
def start(request: pytest.FixtureRequest, fork: Start) -> Start:
    return fork if request.param == "fork" else spawn


@pytest.fixture
def run(acting_study: Path, start: Start) -> Run:
    def run(*specs: RunSpec, folder: Path = acting_study, **limits: float) -> list[RunRecord]:
        launch = Launch(**limits)  # type: ignore[arg-type]
        return list(LocalLauncher(folder, launch, lambda: None, start).launch(specs, 0))

    return run


def wait_until(condition: Callable[[], bool], limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    waiting = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        waiting.wait(0.05)


def workers(parent: int) -> list[psutil.Process]:
    """Running worker processes, without the fork servers that wait for requests."""
    children = psutil.Process(parent).children(recursive=True)
    servers = {child.pid for child in children if "fork_server" in " ".join(child.cmdline())}
    return [
        child
        for child in children
        if "harness.worker" in " ".join(child.cmdline())
        and not (child.pid in servers and child.ppid() == parent)
    ]
