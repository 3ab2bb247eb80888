"""A training resumed from a checkpoint does what it would have done from its start."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness.core.errors import UsageError
from harness.core.spec import Cell, Determinism, Kind, Loader, RunSpec, Scenario
from harness.diagnose.origin import first_difference
from harness.worker.torch_backend.op_window import WindowLog, log_window
from tests.conftest import with_slow

TRAININGS = {
    "mlp": {"data": "digits", "batch_size": 8},
    "augmentation": {"dropout": 0.5},
    "resnet": {"width": 4, "depth": 1, "batch_size": 4, "samples": 8, "steps": 8},
    "loader": {},
    "lstm": {},
    "attention": {"amp": True},
}


@pytest.fixture
def log_training(make_cell: Callable[..., Cell]) -> Callable[..., WindowLog]:
    def run(name: str, states: Path, window: tuple[int, int] = (5, 6)) -> WindowLog:
        scenario = Scenario(name, name, dict(TRAININGS[name]))
        determinism = Determinism(seed=42, loader=Loader(generator=True, worker_init=True))
        cell = dataclasses.replace(make_cell("full"), scenario=scenario, determinism=determinism)
        return log_window(RunSpec(cell, Kind.operations, 1, window=window, to_end=True), states)

    return run


@pytest.mark.parametrize("name", with_slow(TRAININGS, "attention"))
def test_a_resumed_training_matches_one_from_its_start(
    name: str, log_training: Callable[..., WindowLog], tmp_path: Path
) -> None:
    """A resumed training logs the same operations, ends equal and keeps its checkpoint."""
    full = log_training(name, tmp_path)
    (checkpoint,) = tmp_path.glob("*.pt")
    written_ns = checkpoint.stat().st_mtime_ns
    resumed = log_training(name, tmp_path)
    assert checkpoint.stat().st_mtime_ns == written_ns
    assert resumed.log.begins == full.log.begins
    assert first_difference(full.log, resumed.log) is None
    assert resumed.final == full.final


def test_a_resumed_training_skips_earlier_steps(
    log_training: Callable[..., WindowLog], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training resumed at step 5 takes four steps fewer than one from its start."""
    log_training("mlp", tmp_path)
    calls = []
    original = torch.optim.Optimizer.zero_grad
    monkeypatch.setattr(
        torch.optim.Optimizer,
        "zero_grad",
        lambda self, **kw: (calls.append(1), original(self, **kw))[1],
    )
    log_training("mlp", tmp_path, (5, 6))
    resumed = len(calls)
    log_training("mlp", tmp_path / "elsewhere", (5, 6))
    assert len(calls) - resumed == resumed + 4


def test_a_window_after_the_last_step_is_refused(
    log_training: Callable[..., WindowLog], tmp_path: Path
) -> None:
    """A window that begins after the last step raises UsageError with both numbers."""
    with pytest.raises(UsageError, match="the window 500-501 begins after the last step, 8"):
        log_training("resnet", tmp_path, (500, 501))
