"""Real workers that end in every way there is."""

from __future__ import annotations

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
from harness.core.spec import Algorithms, Cell, Determinism, Kind, RunSpec, Scenario
from harness.study.child_process import environment
from harness.study.launcher import LocalLauncher
from harness.study.request import Launch

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


def run(study: Path, *specs: RunSpec, **limits: float) -> list[RunRecord]:
    launcher = LocalLauncher(study, Launch(**limits), tick=lambda: None)  # type: ignore[arg-type]
    return list(launcher.launch(specs, 0))


Spec = Callable[..., RunSpec]


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
    study: Path, spec: Spec, act: str, outcome: Outcome, message: str
) -> None:
    (record,) = run(study, spec(act))
    assert record.outcome is outcome, record.message
    assert message in record.message


def test_a_refused_run_names_its_operation(study: Path, spec: Spec) -> None:
    (record,) = run(study, spec("refuse"))
    assert record.operation is not None
    assert "max_unpooling2d" in record.operation


def test_a_secret_in_a_traceback_does_not_reach_the_record(study: Path, spec: Spec) -> None:
    (record,) = run(study, spec("raise"))
    assert "went wrong" in record.message
    assert "c4n4ry" not in (study / "runs" / f"{record.run_id}.json").read_text()


def test_one_that_hangs_is_ended_at_its_limit_and_the_next_runs(study: Path, spec: Spec) -> None:
    first, second = run(study, spec("hang"), spec("train", number=2), timeout_s=2)
    assert (first.outcome, second.outcome) == (Outcome.timeout, Outcome.ok)
    assert "launch.timeout_s" in first.message
    assert "in step" in first.message, "the log's tail tells where it hung"


def test_one_killed_from_outside_is_run_again(study: Path, spec: Spec) -> None:
    (record,) = run(study, spec("killed once", mark=str(study / "mark")))
    assert (record.outcome, record.attempt) == (Outcome.ok, 2)


def test_one_killed_every_time_is_lost_after_its_retries(study: Path, spec: Spec) -> None:
    (record,) = run(study, spec("killed"), retries=1)
    assert (record.outcome, record.attempt) == (Outcome.lost, 2)
    assert "SIGKILL" in record.message


def test_every_record_is_on_disk_in_the_order_of_release(study: Path, spec: Spec) -> None:
    records = run(study, *(spec("train", number=n) for n in range(1, 6)), ahead=2)
    assert [one.position for one in records] == [0, 1, 2, 3, 4]
    assert {path.stem for path in (study / "runs").iterdir()} == {one.run_id for one in records}


def test_one_run_at_a_time_trains(study: Path, spec: Spec) -> None:
    records = run(study, *(spec("slow", number=n) for n in range(1, 5)), ahead=4)  # 0.5 s each
    ends = [(study / "runs" / f"{one.run_id}.json").stat().st_mtime for one in records]
    begins = [end - (one.wall_s or 0) for end, one in zip(ends, records, strict=True)]
    slack = 0.1  # between the clock's end and the file's time
    assert all(begin > end - slack for begin, end in zip(begins[1:], ends, strict=False))


def test_what_a_training_prints_is_kept_apart_from_the_words(study: Path, spec: Spec) -> None:
    (record,) = run(study, spec("train"))
    assert "hello" in (study / "logs" / f"{record.run_id}.log").read_text()


def test_a_worker_sees_only_allowed_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    monkeypatch.setenv("SOME_TOKEN", "c4n4ry")
    seen = environment({"PYTHONHASHSEED": "3"})
    assert seen["PYTHONHASHSEED"] == "3"
    assert not {"OMP_NUM_THREADS", "SOME_TOKEN"} & seen.keys()


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


def test_a_full_disk_stops_the_study_with_a_sentence(
    tiny_disk: Path, study: Path, spec: Spec
) -> None:
    for part in ("runs", "logs"):
        (tiny_disk / part).mkdir()
    with pytest.raises(StudyStoppedError, match=r"No space left"):
        run(tiny_disk, *(spec("train", number=n) for n in range(1, 60)))
    kept = list((tiny_disk / "runs").glob("*.json"))
    assert kept, "what was measured before is kept"
    for path in kept:
        json.loads(path.read_text())


def test_a_disk_that_is_full_while_tracing_stops_the_study_too(
    tiny_disk: Path, study: Path, spec: Spec
) -> None:
    for part in ("runs", "logs"):
        (tiny_disk / part).mkdir()
    free = os.statvfs(tiny_disk)
    (tiny_disk / "thesis").write_bytes(b"x" * (free.f_bavail * free.f_frsize - 8192))
    with pytest.raises(StudyStoppedError):
        run(tiny_disk, *(spec("train", number=n, kind=Kind.trace) for n in range(1, 9)))
    assert not list(tiny_disk.rglob("*.tmp"))


def test_stopping_early_leaves_no_process_behind(study: Path, spec: Spec) -> None:
    launcher = LocalLauncher(study, Launch(ahead=3), tick=lambda: None)
    runs = launcher.launch([spec("train", number=n) for n in range(1, 4)], 0)
    next(runs)
    runs.close()  # type: ignore[attr-defined]
    children = psutil.Process().children(recursive=True)
    assert not [one for one in children if "harness.worker" in " ".join(one.cmdline())]


def test_an_orphan_dies_with_its_parent(study: Path, spec: Spec) -> None:
    """A parent killed by SIGKILL takes its worker with it: `resume` never measures beside one."""
    if sys.platform != "linux":
        pytest.skip("only Linux's kernel ends orphans (prctl); run this on Linux")
    program = (
        "import sys, json\nfrom pathlib import Path\n"
        "from harness.study.launcher import LocalLauncher\n"
        "from harness.study.request import Launch\nfrom harness.core.spec import RunSpec\n"
        "spec = RunSpec.from_json(json.loads(sys.argv[1]))\n"
        "list(LocalLauncher(Path(sys.argv[2]), Launch(), lambda: None).launch([spec], 0))\n"
    )
    from harness.core.spec import to_json  # noqa: PLC0415

    asked = json.dumps(to_json(spec("hang")))
    parent = subprocess.Popen(
        [sys.executable, "-c", program, asked, str(study)], env={**os.environ, **environment({})}
    )
    log = study / "logs" / f"{spec('hang').run_id}.log"
    wait_until(lambda: log.exists() and "hello" in log.read_text())
    (worker,) = psutil.Process(parent.pid).children()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    worker.wait(timeout=10)
    assert not worker.is_running()


def wait_until(condition: Callable[[], bool], limit_s: float = 60) -> None:
    deadline = time.monotonic() + limit_s
    waiting = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "did not come about in time"
        waiting.wait(0.05)
