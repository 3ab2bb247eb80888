"""A training that goes on from its saved state does what it would have done from its start."""

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

TRAININGS = {
    "mlp": {"data": "digits", "batch_size": 8},
    "augmentation": {"dropout": 0.5},
    "resnet": {"width": 4, "depth": 1, "batch_size": 4, "samples": 8, "steps": 8},
    "loader": {},
    "lstm": {},
    "attention": {"amp": True},
}


@pytest.fixture
def logged(make_cell: Callable[..., Cell]) -> Callable[..., WindowLog]:
    def run(name: str, states: Path, window: tuple[int, int] = (5, 6)) -> WindowLog:
        scenario = Scenario(name, name, dict(TRAININGS[name]))
        asked = Determinism(seed=42, loader=Loader(generator=True, worker_init=True))
        cell = dataclasses.replace(make_cell("full"), scenario=scenario, determinism=asked)
        return log_window(RunSpec(cell, Kind.operations, 1, window=window, to_end=True), states)

    return run


@pytest.mark.parametrize("name", TRAININGS)
def test_from_its_saved_state_a_training_goes_on_as_from_its_start(
    name: str, logged: Callable[..., WindowLog], tmp_path: Path
) -> None:
    started = logged(name, tmp_path)
    (saved,) = tmp_path.glob("*.pt")
    written = saved.stat().st_mtime_ns
    restored = logged(name, tmp_path)
    assert saved.stat().st_mtime_ns == written
    assert restored.log.begins == started.log.begins
    assert first_difference(started.log, restored.log) is None
    assert restored.final == started.final


def test_the_steps_before_are_not_taken_again(
    logged: Callable[..., WindowLog], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged("mlp", tmp_path)
    taken = []
    plain = torch.optim.Optimizer.zero_grad
    monkeypatch.setattr(
        torch.optim.Optimizer,
        "zero_grad",
        lambda self, **kw: (taken.append(1), plain(self, **kw))[1],
    )
    logged("mlp", tmp_path, (5, 6))
    steps = len(taken)
    logged("mlp", tmp_path / "elsewhere", (5, 6))
    assert len(taken) - steps == steps + 4


def test_a_window_after_the_last_step_is_refused(
    logged: Callable[..., WindowLog], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="the window 500-501 begins after the last step, 8"):
        logged("resnet", tmp_path, (500, 501))
