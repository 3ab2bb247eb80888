"""The operations of a training that is observed through hooks are recorded."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
from torch import nn

from harness.worker.torch_backend.hook_recorder import HookRecorder


def train() -> None:
    torch.manual_seed(0)
    net = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(3):
        net(torch.ones(2, 3)).sum().backward()
        optimizer.step()


def train_in_a_thread() -> None:
    thread = threading.Thread(target=train)
    thread.start()
    thread.join()


def names(training: Callable[[], None]) -> list[tuple[int, str, str]]:
    """The operations in the forward and backward passes of steps 1 and 2, and in the optimizer."""
    recorder = HookRecorder((1, 2))
    with recorder.install():
        training()
    recorder.hooks.check()
    operations = recorder.log("run").operations
    return [(one.step, one.phase, one.name) for one in operations if one.phase in PHASES]


PHASES = ("forward", "backward", "optimizer")


@pytest.mark.parametrize("training", [train, train_in_a_thread])
def test_operations_of_each_thread_are_recorded(training: Callable[[], None]) -> None:
    """A training in a thread has the log that it has in the main thread."""
    logged = names(training)
    assert logged == names(train)
    assert {step for step, _, _ in logged} == {1, 2}
    assert {phase for _, phase, _ in logged} == set(PHASES)
