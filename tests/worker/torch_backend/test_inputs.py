"""Which of a model's arguments count as data."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from harness.worker.torch_backend.hooks import TrainingHooks
from harness.worker.torch_backend.inputs import InputDigests

Connect = Callable[[Tensor], Tensor]


def digests(x: Tensor, connect: Connect, by_name: bool = False) -> list[str]:
    """The digests of a step in which the output of a first model is the input of a second."""
    torch.manual_seed(0)
    first, second, inputs = nn.Linear(3, 3), nn.Linear(3, 1), InputDigests()
    with TrainingHooks(inputs).install():
        activation = connect(first(input=x) if by_name else first(x))
        second(activation)
    return inputs.digests


@pytest.mark.parametrize("by_name", [False, True])
def test_data_counts_by_its_bits(by_name: bool) -> None:
    """Another batch has another digest, given by position or by name."""
    x, other = torch.ones(2, 3), torch.zeros(2, 3)
    assert digests(x, torch.relu, by_name) == digests(x.clone(), torch.relu, by_name)
    assert digests(x, torch.relu, by_name) != digests(other, torch.relu, by_name)


@pytest.mark.parametrize("keep", [torch.relu, Tensor.detach, lambda x: x.detach()[:, :3]])
def test_an_activation_is_no_data(keep: Connect) -> None:
    """Noise in what one model gives to another is not taken for other data.

    Neither with a graph, nor detached as a discriminator gets it.
    """
    x = torch.ones(2, 3)
    noisy = digests(x, lambda activation: keep(activation.mul_(2)))
    assert digests(x, keep) == noisy


def test_a_new_batch_in_old_memory_is_data() -> None:
    """Memory of an activation that was freed may hold the next batch, which counts."""

    def batches(value: float) -> list[str]:
        inputs, net = InputDigests(), nn.Linear(3, 3)
        with TrainingHooks(inputs).install(), torch.no_grad():
            for _ in range(20):
                net(torch.full((2, 3), value))
        return inputs.digests

    assert not set(batches(1.0)) & set(batches(2.0))
