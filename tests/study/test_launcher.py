"""Real workers, spawned and forked, that end in every way there is."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.core.blocks import split_blocks
from harness.core.completion import done_runs
from harness.core.errors import StudyStoppedError
from harness.core.record import Outcome, RunRecord
from harness.core.spec import Arm, Kind
from harness.host.gpu_monitor import GpuMonitor
from harness.study.child_process import environment
from harness.study.launcher import LocalLauncher
from harness.study.request import Launch
from tests.study.conftest import Run, Spec, Start, workers


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


def test_a_shared_gpu_spoils_times_but_no_bits(
    tmp_path: Path, trace: Callable[..., RunRecord], timing: Callable[..., RunRecord]
) -> None:
    """A run that shared its GPU is contended if it was timed, and else as good as alone."""
    (tmp_path / "runs").mkdir()
    launcher = LocalLauncher(tmp_path, Launch(), lambda: None)
    monitor = GpuMonitor("cpu", contended=True)
    assert launcher._add_observations(timing(1, 0.1), monitor).outcome is Outcome.contended
    assert launcher._add_observations(trace(1), monitor).outcome is Outcome.ok


def test_a_refused_run_names_its_operation(run: Run, spec: Spec) -> None:
    """The record names the operation that torch refused."""
    (record,) = run(spec("refuse"))
    assert record.operation is not None
    assert "max_unpooling2d" in record.operation


def test_a_secret_in_a_traceback_is_redacted(run: Run, acting_study: Path, spec: Spec) -> None:
    """A record keeps the error message and not the secret in it."""
    (record,) = run(spec("raise"))
    assert "went wrong" in record.message
    assert "c4n4ry" not in (acting_study / "runs" / f"{record.run_id}.json").read_text()


def test_a_hanging_run_is_ended_at_its_limit_and_the_next_one_starts(run: Run, spec: Spec) -> None:
    """A timeout ends one run, with the stack where it hung, and the study continues."""
    first, second = run(spec("hang"), spec("train", number=2), timeout_s=2)
    assert (first.outcome, second.outcome) == (Outcome.timeout, Outcome.ok)
    assert "launch.timeout_s" in first.message
    assert "in step" in first.message, "the end of the log shows the stack"


def test_a_run_that_was_killed_is_repeated(run: Run, acting_study: Path, spec: Spec) -> None:
    """A worker killed by SIGKILL is started a second time."""
    (record,) = run(spec("killed once", mark=str(acting_study / "mark")))
    assert (record.outcome, record.attempt) == (Outcome.ok, 2)


def test_a_run_that_is_killed_every_time_is_lost_after_its_retries(run: Run, spec: Spec) -> None:
    """launch.retries bounds how often a killed run is repeated."""
    (record,) = run(spec("killed"), retries=1)
    assert (record.outcome, record.attempt) == (Outcome.lost, 2)
    assert "SIGKILL" in record.message


def test_an_arm_that_ends_its_process_costs_the_others_nothing(run: Run, spec: Spec) -> None:
    """The arms of a block that died are timed alone, and the crash is that of one of them."""
    trains, dies = spec("train"), spec("segfault")
    block = dataclasses.replace(trains, arms=(Arm(trains.cell), Arm(dies.cell)))
    records = run(block, spec("train", number=2))
    assert [record.outcome for record in records] == [
        Outcome.crashed,  # the block
        Outcome.ok,  # its first arm
        Outcome.crashed,  # its second arm
        Outcome.ok,
    ]
    arms = split_blocks(records)
    assert [arm.outcome for arm in arms] == [Outcome.ok, Outcome.crashed, Outcome.ok]
    assert done_runs(records) == {record.run_id for record in records}


def test_every_record_is_on_disk_in_the_order_of_release(
    run: Run, acting_study: Path, spec: Spec
) -> None:
    """Positions follow the order of the plan, across batches of workers."""
    records = run(*(spec("train", number=n) for n in range(1, 6)), ahead=2)
    assert [record.position for record in records] == [0, 1, 2, 3, 4]
    names = {path.stem for path in (acting_study / "runs").iterdir()}
    assert names == {record.run_id for record in records}


def test_one_run_at_a_time_trains(run: Run, acting_study: Path, spec: Spec) -> None:
    """No run starts before the previous one has ended, even if their workers wait side by side."""
    records = run(*(spec("slow", number=n) for n in range(1, 5)), ahead=4)  # 0.5 s each
    paths = [acting_study / "runs" / f"{record.run_id}.json" for record in records]
    ends = [path.stat().st_mtime for path in paths]
    begins = [end - (record.wall_s or 0) for end, record in zip(ends, records, strict=True)]
    slack = 0.1  # between the clock's end and the file's time
    assert all(begin > end - slack for begin, end in zip(begins[1:], ends, strict=False))


def test_what_a_training_prints_goes_to_its_log(run: Run, acting_study: Path, spec: Spec) -> None:
    """Standard output of the training is kept apart from the worker's replies."""
    (record,) = run(spec("train"))
    assert "hello" in (acting_study / "logs" / f"{record.run_id}.log").read_text()


def test_a_worker_sees_only_allowed_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's OMP_NUM_THREADS and secrets do not reach a worker."""
    monkeypatch.setenv("OMP_NUM_THREADS", "64")
    monkeypatch.setenv("SOME_TOKEN", "c4n4ry")
    variables = environment({"PYTHONHASHSEED": "3"})
    assert variables["PYTHONHASHSEED"] == "3"
    assert not {"OMP_NUM_THREADS", "SOME_TOKEN"} & variables.keys()


@pytest.fixture
def tiny_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A real file system of 64 kB, of which 16 kB are free."""
    folder = tmp_path_factory.mktemp("disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system needs root with CAP_SYS_ADMIN")
    free = os.statvfs(folder)
    (folder / "thesis").write_bytes(b"x" * (free.f_bavail * free.f_frsize - 16384))
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_stops_the_study_with_a_sentence(run: Run, tiny_disk: Path, spec: Spec) -> None:
    """If a record cannot be written, the study stops and keeps the records before it."""
    for part in ("runs", "logs"):
        (tiny_disk / part).mkdir()
    with pytest.raises(StudyStoppedError, match=r"No space left"):
        run(*(spec("train", number=n) for n in range(1, 9)), folder=tiny_disk)
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
    with pytest.raises(StudyStoppedError):
        run(*(spec("train", number=n, kind=Kind.trace) for n in range(1, 9)), folder=tiny_disk)
    assert not list(tiny_disk.rglob("*.tmp"))


def test_stopping_early_leaves_no_worker_behind(
    acting_study: Path, start: Start, spec: Spec
) -> None:
    """Closing the iteration ends the workers that were started ahead."""
    launcher = LocalLauncher(acting_study, Launch(ahead=3), lambda: None, start)
    runs = launcher.launch([spec("train", number=n) for n in range(1, 4)], 0)
    next(runs)
    runs.close()  # type: ignore[attr-defined]
    assert not [child for child in workers(os.getpid()) if child.is_running()]
