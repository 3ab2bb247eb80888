"""The timer counts the steps after the warm-up, and fails if there are none."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from harness.core.errors import UsageError
from harness.scenario import Evaluation, Training
from harness.worker.torch_backend.timer import time_training

CPU = torch.device("cpu")


class Slow(Training):
    """A training whose steps sleep for the given times."""

    def __init__(self, lengths_s: list[float]) -> None:
        self.models, self.optimizers = {}, {}
        self.lengths_s = lengths_s

    def batches(self) -> Iterator[float]:
        yield from self.lengths_s

    def step(self, batch: float) -> Tensor:
        time.sleep(batch)
        return torch.tensor(batch)

    def evaluate(self) -> Evaluation:
        return Evaluation(torch.zeros(1), None)


def test_warm_up_steps_are_kept_but_not_counted() -> None:
    """A slow warm-up step is in the list of steps but not in the counted time."""
    reading = time_training(Slow([0.3, 0.01, 0.01, 0.01]), warmup=1, device=CPU)
    assert reading.counted_steps == 3
    assert len(reading.step_s) == 4
    assert reading.step_s[0] >= 0.3
    assert 0.03 <= reading.counted_s < 0.3


def test_without_warm_up_all_steps_count() -> None:
    """With a warm-up of 0 steps, all five steps are counted."""
    assert time_training(Slow([0.0] * 5), warmup=0, device=CPU).counted_steps == 5


@pytest.mark.parametrize("warmup", [2, 3])
def test_a_warm_up_that_leaves_no_steps_is_refused(warmup: int) -> None:
    """A warm-up of all steps or more raises UsageError with the name of the setting."""
    with pytest.raises(UsageError, match=r"timing\.warmup"):
        time_training(Slow([0.0, 0.0]), warmup, CPU)
