"""Training on several processes matches one process, and no rank outlives its run."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import psutil
import pytest
import torch
from harness.scenarios import ddp

from harness.core.spec import Algorithms, Determinism
from harness.scenario import Context, Examples
from harness.worker.torch_backend import settings
from tests.conftest import ROOT

CPU = torch.device("cpu")
Build = Callable[..., ddp.Sharded]


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Builds a seeded training that creates its temporary folders in ``tmp_path``."""
    monkeypatch.setattr(ddp.tempfile, "tempdir", str(tmp_path))

    def build_training(in_child: Callable[[], None] = do_nothing, **options: int) -> ddp.Sharded:
        torch.manual_seed(1)
        return ddp.build(ddp.Options(**{"steps": 4, **options}), Context(CPU, in_child=in_child))

    return build_training


def do_nothing() -> None:
    """Set up a child without any setting, not even a seed."""


def fail() -> None:
    raise RuntimeError("this rank fails at its start")


def finish(training: ddp.Sharded, batches: Iterator[Examples]) -> None:
    for batch in batches:
        training.step(batch)


def train_to_end(training: ddp.Sharded) -> torch.Tensor:
    finish(training, training.batches())
    return torch.nn.utils.parameters_to_vector(training.model.parameters()).detach()


def find_ranks() -> list[psutil.Process]:
    """Return the ranks that this process has started, without multiprocessing's own helper."""
    children = psutil.Process().children(recursive=True)
    return [child for child in children if "resource_tracker" not in " ".join(child.cmdline())]


def test_two_processes_train_like_one_up_to_rounding(build: Build) -> None:
    """Two processes end with the weights of one up to rounding, even if the child is not seeded."""
    single, pair = build(processes=1), build(processes=2)
    assert [training.facts() for training in (single, pair)] == [
        {"processes": 1, "backend": None},
        {"processes": 2, "backend": "gloo"},
    ]
    torch.manual_seed(2)
    weights = train_to_end(single)
    torch.manual_seed(2)
    assert torch.allclose(weights, train_to_end(pair), atol=1e-5)


@pytest.mark.slow
def test_a_second_group_gives_the_same_bits(build: Build, tmp_path: Path) -> None:
    """Two trainings on two processes end with equal bits and leave no process or file behind."""
    first, second = (train_to_end(build(processes=2)) for _ in range(2))
    assert torch.equal(first, second)
    assert find_ranks() == []
    assert list(tmp_path.glob("harness-ddp-*")) == []


@pytest.mark.slow
def test_rank_0_has_its_shard_and_the_loss_of_the_batch(build: Build) -> None:
    """Rank 0 trains on the first half of each batch and returns the loss of the whole batch."""
    single, pair = build(processes=1), build(processes=2)
    torch.manual_seed(2)
    batches = list(single.batches())
    torch.manual_seed(2)
    losses = []
    for batch, shard in zip(batches, pair.batches(), strict=True):
        assert torch.equal(shard.inputs, batch.inputs[:32])
        losses.append((single.step(batch), pair.step(shard)))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in losses)


@pytest.mark.slow
def test_a_rank_that_fails_at_its_start_fails_the_run(build: Build, tmp_path: Path) -> None:
    """A rank that raises at its start ends the run and leaves no process or file behind."""
    with pytest.raises(RuntimeError, match="rank 1 of 2 did not start"):
        build(fail, processes=2)
    assert find_ranks() == []
    assert list(tmp_path.glob("harness-ddp-*")) == []


@pytest.mark.slow
def test_a_killed_rank_fails_the_run_without_a_hang(build: Build) -> None:
    """Rank 0 raises within the time limit if another rank is killed during training."""
    training = build(processes=2, steps=1000)
    with closing(training.batches()) as batches:
        training.step(next(batches))
        find_ranks()[0].kill()
        began = time.monotonic()
        with pytest.raises(RuntimeError, match="gloo"):
            finish(training, batches)
    assert time.monotonic() - began < ddp.LIMIT_S
    assert find_ranks() == []


LEADER = """
import os, sys, time, torch
from harness.scenarios import ddp
from harness.scenario import Context
if __name__ == "__main__":
    training = ddp.build(ddp.Options(processes=3, batch_size=63), Context(torch.device("cpu")))
    batches = training.batches()
    training.step(next(batches))
    print(*(process.pid for process in training.others), flush=True)
    input()
    os._exit(0)
"""


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["killed", "exited"])
def test_no_rank_outlives_rank_0(ending: str, tmp_path: Path) -> None:
    """If rank 0 is killed or exits, the other ranks end and remove their folder."""
    program = tmp_path / "leader.py"
    program.write_text(LEADER)
    folders = tmp_path / "folders"
    folders.mkdir()
    leader = subprocess.Popen(
        [sys.executable, str(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folders)},
    )
    assert leader.stdin is not None
    assert leader.stdout is not None
    with leader.stdin, leader.stdout:
        others = [psutil.Process(int(pid)) for pid in leader.stdout.readline().split()]
        assert len(others) == 2
        if ending == "killed":
            leader.send_signal(signal.SIGKILL)
        else:
            print(file=leader.stdin, flush=True)
        leader.wait(20)
    _, alive = psutil.wait_procs(others, timeout=20)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
    assert list(folders.glob("harness-ddp-*")) == []


def test_other_ranks_get_the_complete_setting() -> None:
    """The setup function of a child survives pickling with the whole setting."""
    determinism = Determinism(seed=3, algorithms=Algorithms.require)
    in_child = pickle.loads(pickle.dumps(settings.build_context(determinism, CPU).in_child))  # noqa: S301 - pickled here
    assert isinstance(in_child, partial)
    assert in_child.func is settings.apply
    assert in_child.args == (determinism,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"processes": 0}, "processes=0: must be at least 1"),
        ({"processes": 3}, "batch_size=64: must be divisible by processes=3"),
    ],
)
def test_processes_that_cannot_share_a_batch_are_refused(
    options: dict[str, int], message: str
) -> None:
    """The number of processes must be at least 1 and divide the batch size."""
    with pytest.raises(ValueError, match=message):
        ddp.Options(**options)


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process gets its own GPU, and too few GPUs raise ValueError."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert ddp.devices_from(torch.device("cuda"), 2) == [torch.device(f"cuda:{i}") for i in (0, 1)]
    with pytest.raises(
        ValueError, match="processes=2: each process needs its own GPU, starting at cuda:1"
    ):
        ddp.devices_from(torch.device("cuda:1"), 2)
