"""Several processes train what one does, and none of them is ever left behind."""

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
    """Builds a seeded training; its folders are made where the test can look for them."""
    monkeypatch.setattr(ddp.tempfile, "tempdir", str(tmp_path))

    def built(in_child: Callable[[], None] = nothing, **options: int) -> ddp.Sharded:
        torch.manual_seed(1)
        return ddp.build(ddp.Options(**{"steps": 4, **options}), Context(CPU, in_child=in_child))

    return built


def nothing() -> None:
    """A child's setting that sets nothing, not even a seed."""


def failing() -> None:
    raise RuntimeError("this rank fails at its start")


def finish(training: ddp.Sharded, batches: Iterator[Examples]) -> None:
    for batch in batches:
        training.step(batch)


def weights_after(training: ddp.Sharded) -> torch.Tensor:
    finish(training, training.batches())
    return torch.nn.utils.parameters_to_vector(training.model.parameters()).detach()


def trainees() -> list[psutil.Process]:
    """Ranks that this process has started; multiprocessing keeps a helper of its own too."""
    children = psutil.Process().children(recursive=True)
    return [one for one in children if "resource_tracker" not in " ".join(one.cmdline())]


def test_two_unseeded_children_train_what_one_process_does_up_to_rounding(build: Build) -> None:
    one, two = build(processes=1), build(processes=2)
    assert [training.facts() for training in (one, two)] == [
        {"processes": 1, "backend": None},
        {"processes": 2, "backend": "gloo"},
    ]
    torch.manual_seed(2)
    weights = weights_after(one)
    torch.manual_seed(2)
    assert torch.allclose(weights, weights_after(two), atol=1e-5)


def test_a_group_can_be_made_again_and_gives_the_same_bits(build: Build, tmp_path: Path) -> None:
    one, two = (weights_after(build(processes=2)) for _ in range(2))
    assert torch.equal(one, two)
    assert trainees() == []
    assert list(tmp_path.iterdir()) == []


def test_shards_make_up_the_batch_and_the_loss_is_that_of_all(build: Build) -> None:
    one, two = build(processes=1), build(processes=2)
    torch.manual_seed(2)
    whole = list(one.batches())
    torch.manual_seed(2)
    losses = []
    for batch, shard in zip(whole, two.batches(), strict=True):
        assert torch.equal(shard.inputs, batch.inputs[:32])
        losses.append((one.step(batch), two.step(shard)))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in losses)


def test_a_rank_that_fails_at_its_start_fails_the_run(build: Build, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="rank 1 of 2 did not start"):
        build(failing, processes=2)
    assert trainees() == []
    assert list(tmp_path.iterdir()) == []


def test_a_rank_lost_in_the_middle_fails_the_run_and_does_not_hang_it(build: Build) -> None:
    training = build(processes=2, steps=1000)
    with closing(training.batches()) as batches:
        training.step(next(batches))
        trainees()[0].kill()
        began = time.monotonic()
        with pytest.raises(RuntimeError, match="gloo"):
            finish(training, batches)
    assert time.monotonic() - began < ddp.LIMIT_S
    assert trainees() == []


LEADER = """
import os, sys, time, torch
from harness.scenarios import ddp
from harness.scenario import Context
if __name__ == "__main__":
    training = ddp.build(ddp.Options(processes=3, batch_size=63), Context(torch.device("cpu")))
    batches = training.batches()
    training.step(next(batches))
    print(*(other.pid for other in training.others), flush=True)
    input()
    os._exit(0)
"""


@pytest.mark.parametrize("ending", ["killed", "left"])
def test_no_rank_outlives_rank_0(ending: str, tmp_path: Path) -> None:
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
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []
    assert list(folders.iterdir()) == []


def test_the_setting_reaches_other_ranks_whole() -> None:
    asked = Determinism(seed=3, algorithms=Algorithms.require)
    in_child = pickle.loads(pickle.dumps(settings.build_context(asked, CPU).in_child))  # noqa: S301 - ours
    assert isinstance(in_child, partial)
    assert in_child.func is settings.apply
    assert in_child.args == (asked,)


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
    with pytest.raises(ValueError, match=message):
        ddp.Options(**options)


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert ddp.devices_from(torch.device("cuda"), 2) == [torch.device(f"cuda:{i}") for i in (0, 1)]
    with pytest.raises(
        ValueError, match="processes=2: each process needs its own GPU, starting at cuda:1"
    ):
        ddp.devices_from(torch.device("cuda:1"), 2)
