"""Real workers, spawned and forked, that end in every way there is."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from harness.core.errors import StudyStoppedError
from harness.core.record import Outcome, RunRecord
from harness.core.spec import Algorithms, Cell, Determinism, Kind, RunSpec, Scenario, to_json
from harness.study.child_process import environment
from harness.study.fork_server import ForkServers
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
        if act == "refuse":
            return torch.ones(1, 1, requires_grad=True).sum() * torch.nn.functional.max_unpool2d(
                torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2, dtype=torch.long), 2).sum().detach()
        loss = self.model(batch).sum() * (float("nan") if act == "nan" else 1)
        loss.backward()
        return loss.detach()
    def evaluate(self):
        return Evaluation(torch.zeros(3), None)

def build(options, context):
    print("hello from the training")
    return Acting(options)
'''


@pytest.fixture
def study(tmp_path: Path) -> Path:
    for part in ("runs", "logs"):
        (tmp_path / part).mkdir()
    (tmp_path / "acting.py").write_text(PROGRAM)
    return tmp_path


@pytest.fixture
def spec(study: Path) -> Callable[..., RunSpec]:
    def make(
        act: str = "train", number: int = 1, kind: Kind = Kind.timing, **options: str
    ) -> RunSpec:
        path = str(study / "acting.py")
        scenario = Scenario("acting", "acting", {"act": act, **options}, source=path)
        algorithms = Algorithms.require if act == "refuse" else Algorithms.allow
        cell = Cell(scenario, "seed", Determinism(seed=1, algorithms=algorithms), "cpu")
        return RunSpec(cell, kind, number, warmup=1)

    return make


Start = Callable[[RunSpec, Descriptors], Process]
Spec = Callable[..., RunSpec]
Run = Callable[..., list[RunRecord]]


@pytest.fixture(scope="module")
def fork() -> Iterator[Start]:
    servers = ForkServers()
    yield servers.start
    servers.close()


@pytest.fixture(params=[pytest.param("spawn", marks=pytest.mark.slow), "fork"])
def start(request: pytest.FixtureRequest, fork: Start) -> Start:
    return fork if request.param == "fork" else spawn


@pytest.fixture
def run(study: Path, start: Start) -> Run:
    def run(*specs: RunSpec, folder: Path = study, **limits: float) -> list[RunRecord]:
        launch = Launch(**limits)  # type: ignore[arg-type]
        return list(LocalLauncher(folder, launch, lambda: None, start).launch(specs, 0))

    return run


@pytest.mark.parametrize(
    ("act", "outcome", "message"),
    [
        ("train", Outcome.ok, ""),
        ("nan", Outcome.nan, ""),
        ("raise", Outcome.crashed, "RuntimeError"),
        ("segfault", Outcome.crashed, "ended by SIGSEGV"),
        ("exit", Outcome.crashed, "ended with exit status 7"),
        ("refuse", Outcome.refused, "max_unpooling2d"),
    ],
)
def test_every_ending_is_an_outcome(
    run: Run, spec: Spec, act: str, outcome: Outcome, message: str
) -> None:
    """Each way in which a worker can end becomes the outcome of its record."""
    (record,) = run(spec(act))
    assert record.outcome is outcome, record.message
    assert message in record.message


def test_a_refused_run_names_its_operation(run: Run, spec: Spec) -> None:
    """The record names the operation that torch refused."""
    (record,) = run(spec("refuse"))
    assert record.operation is not None
    assert "max_unpooling2d" in record.operation


def test_a_secret_in_a_traceback_is_redacted(run: Run, study: Path, spec: Spec) -> None:
    """A record keeps the error message and not the secret in it."""
    (record,) = run(spec("raise"))
    assert "went wrong" in record.message
    assert "c4n4ry" not in (study / "runs" / f"{record.run_id}.json").read_text()


def test_a_hanging_run_is_ended_at_its_limit_and_the_next_one_starts(run: Run, spec: Spec) -> None:
    """A timeout ends one run, with the stack where it hung, and the study continues."""
    first, second = run(spec("hang"), spec("train", number=2), timeout_s=2)
    assert (first.outcome, second.outcome) == (Outcome.timeout, Outcome.ok)
    assert "launch.timeout_s" in first.message
    assert "in step" in first.message, "the end of the log shows the stack"


def test_a_run_that_was_killed_is_repeated(run: Run, study: Path, spec: Spec) -> None:
    """A worker killed by SIGKILL is started a second time."""
    (record,) = run(spec("killed once", mark=str(study / "mark")))
    assert (record.outcome, record.attempt) == (Outcome.ok, 2)


def test_a_run_that_is_killed_every_time_is_lost_after_its_retries(run: Run, spec: Spec) -> None:
    """launch.retries bounds how often a killed run is repeated."""
    (record,) = run(spec("killed"), retries=1)
    assert (record.outcome, record.attempt) == (Outcome.lost, 2)
    assert "SIGKILL" in record.message


def test_every_record_is_on_disk_in_the_order_of_release(run: Run, study: Path, spec: Spec) -> None:
    """Positions follow the order of the plan, across batches of workers."""
    records = run(*(spec("train", number=n) for n in range(1, 6)), ahead=2)
    assert [record.position for record in records] == [0, 1, 2, 3, 4]
    names = {path.stem for path in (study / "runs").iterdir()}
    assert names == {record.run_id for record in records}


def test_one_run_at_a_time_trains(run: Run, study: Path, spec: Spec) -> None:
    """No run starts before the previous one has ended, even if their workers wait side by side."""
    records = run(*(spec("slow", number=n) for n in range(1, 5)), ahead=4)  # 0.5 s each
    paths = [study / "runs" / f"{record.run_id}.json" for record in records]
    ends = [path.stat().st_mtime for path in paths]
    begins = [end - (record.wall_s or 0) for end, record in zip(ends, records, strict=True)]
    slack = 0.1  # between the clock's end and the file's time
    assert all(begin > end - slack for begin, end in zip(begins[1:], ends, strict=False))


def test_what_a_training_prints_goes_to_its_log(run: Run, study: Path, spec: Spec) -> None:
    """Standard output of the training is kept apart from the worker's replies."""
    (record,) = run(spec("train"))
    assert "hello" in (study / "logs" / f"{record.run_id}.log").read_text()


def test_a_worker_sees_only_allowed_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's OMP_NUM_THREADS and secrets do not reach a worker."""
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    monkeypatch.setenv("SOME_TOKEN", "c4n4ry")
    variables = environment({"PYTHONHASHSEED": "3"})
    assert variables["PYTHONHASHSEED"] == "3"
    assert not {"OMP_NUM_THREADS", "SOME_TOKEN"} & variables.keys()


@pytest.fixture
def tiny_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A real file system of 64 kB."""
    folder = tmp_path_factory.mktemp("disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system needs root with CAP_SYS_ADMIN")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_the_study_with_a_sentence(run: Run, tiny_disk: Path, spec: Spec) -> None:
    """If a record cannot be written, the study stops and keeps the records before it."""
    for part in ("runs", "logs"):
        (tiny_disk / part).mkdir()
    with pytest.raises(StudyStoppedError, match=r"No space left"):
        run(*(spec("train", number=n) for n in range(1, 60)), folder=tiny_disk)
    kept = list((tiny_disk / "runs").glob("*.json"))
    assert kept, "the records before it are kept"
    for path in kept:
        json.loads(path.read_text())


def test_a_disk_that_fills_up_during_a_trace_stops_the_study(
    run: Run, tiny_disk: Path, spec: Spec
) -> None:
    """A snapshot that does not fit leaves no temporary file behind."""
    for part in ("runs", "logs"):
        (tiny_disk / part).mkdir()
    free = os.statvfs(tiny_disk)
    (tiny_disk / "thesis").write_bytes(b"x" * (free.f_bavail * free.f_frsize - 8192))
    with pytest.raises(StudyStoppedError):
        run(*(spec("train", number=n, kind=Kind.trace) for n in range(1, 9)), folder=tiny_disk)
    assert not list(tiny_disk.rglob("*.tmp"))


def test_stopping_early_leaves_no_worker_behind(study: Path, start: Start, spec: Spec) -> None:
    """Closing the iteration ends the workers that were started ahead."""
    launcher = LocalLauncher(study, Launch(ahead=3), lambda: None, start)
    runs = launcher.launch([spec("train", number=n) for n in range(1, 4)], 0)
    next(runs)
    runs.close()  # type: ignore[attr-defined]
    assert not [child for child in workers(os.getpid()) if child.is_running()]


PARENT = """
import json, sys
from pathlib import Path
from harness.core.spec import RunSpec
from harness.study.fork_server import ForkServers
from harness.study.launcher import LocalLauncher
from harness.study.request import Launch
from harness.study.worker_process import spawn

spec = RunSpec.from_json(json.loads(sys.argv[1]))
start = spawn if sys.argv[3] == "spawn" else ForkServers().start
list(LocalLauncher(Path(sys.argv[2]), Launch(), lambda: None, start).launch([spec], 0))
"""


@pytest.mark.parametrize("isolation", [pytest.param("spawn", marks=pytest.mark.slow), "fork"])
def test_a_worker_dies_with_its_parent(isolation: str, study: Path, spec: Spec) -> None:
    """A parent killed by SIGKILL takes its worker with it: `resume` never measures beside one."""
    if sys.platform != "linux":
        pytest.skip("only Linux ends orphans (prctl); run this on Linux")
    hanging = spec("hang")
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, json.dumps(to_json(hanging)), str(study), isolation],
        env={**os.environ, **environment({})},
    )
    log = study / "logs" / f"{hanging.run_id}.log"
    wait_until(lambda: log.exists() and "hello" in log.read_text())
    descendants = psutil.Process(parent.pid).children(recursive=True)
    assert len(descendants) == (1 if isolation == "spawn" else 2)  # the server, and its child
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _, alive = psutil.wait_procs(descendants, timeout=10)
    assert not alive


DRAWS = """
import os, random
from dataclasses import dataclass
import numpy as np, torch
from harness.scenarios import mlp
from harness.scenario import Context

@dataclass(frozen=True)
class Options:
    steps: int = 1

def build(options, context):
    training = mlp.build(mlp.Options(steps=1), context)
    drawn = {"python": random.random(), "numpy": np.random.rand(), "torch": torch.rand(1).item()}
    training.facts = lambda: {**drawn, "hash": hash("a"), "address": id(object), "pid": os.getpid()}
    return training
"""


def test_children_of_one_fork_server_share_its_hash_seed_and_addresses(
    tmp_path: Path, fork: Start, make_cell: Callable[..., Cell]
) -> None:
    """Unseeded generators differ between children; hash seed and addresses, between servers."""
    for part in ("runs", "logs"):
        (tmp_path / part).mkdir()
    (tmp_path / "draws.py").write_text(DRAWS)
    scenario = Scenario("draws", "draws", {"steps": 1}, source=str(tmp_path / "draws.py"))
    cell = dataclasses.replace(make_cell("none"), scenario=scenario, determinism=Determinism())
    specs = [RunSpec(cell, Kind.trace, number) for number in (1, 2, 3)]
    launcher = LocalLauncher(tmp_path, Launch(), lambda: None, fork)
    first, second, third = (record.repeats[0].facts for record in launcher.launch(specs, 0))
    assert {name for name in first if first[name] == third[name]} == {"hash", "address"}
    assert {"hash", "address"} & {name for name in first if first[name] == second[name]} == set()


@pytest.mark.slow
def test_a_server_that_was_killed_is_replaced(study: Path, fork: Start, spec: Spec) -> None:
    """The next run gets a new fork server."""
    launcher = LocalLauncher(study, Launch(), lambda: None, fork)
    list(launcher.launch([spec("train")], 0))
    for process in psutil.Process().children():
        if "fork_server" in " ".join(process.cmdline()):
            process.kill()
            process.wait()
    (record,) = launcher.launch([spec("train", number=3)], 1)
    assert record.outcome is Outcome.ok


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


def wait_until(condition: Callable[[], bool], limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    waiting = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        waiting.wait(0.05)
