"""Noise changes the initial weights as specified, and nothing else."""

from __future__ import annotations

import pytest
import torch
from harness.scenarios import mlp

from harness.core.spec import Noise
from harness.scenario import Context, Training
from harness.worker.torch_backend.training import perturb_weights


def build_training() -> Training:
    torch.manual_seed(1)
    return mlp.build(mlp.Options(), Context(torch.device("cpu")))


def get_weights(training: Training) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in training.models["model"].parameters()])


def perturb(noise: Noise, number: int) -> torch.Tensor:
    training = build_training()
    perturb_weights(training, noise, number)
    return get_weights(training)


@pytest.mark.parametrize("number", [2, 3, 17])
def test_a_bit_flip_changes_one_weight_by_one_ulp(number: int) -> None:
    """The differences of all weights, in units in the last place, sum to one."""
    before, after = get_weights(build_training()), perturb(Noise.bit_flip, number)
    ulps = (after.view(torch.int32) - before.view(torch.int32)).abs()
    assert ulps.sum() == 1


def test_each_run_flips_another_bit() -> None:
    """Runs 2, 3 and 4 change three different weights."""
    before = get_weights(build_training())
    places = {int((perturb(Noise.bit_flip, number) != before).nonzero()) for number in (2, 3, 4)}
    assert len(places) == 3


def test_tiny_noise_changes_about_half_of_the_weights() -> None:
    """Tiny noise changes about half of the weights, and none by 1e-7 or more."""
    before = get_weights(build_training())
    noise = perturb(Noise.tiny, 2) - before
    fine = before.abs() < 0.125  # weights at which float32 can resolve 1e-8
    assert 0.2 < (noise[fine] != 0).float().mean() < 0.6
    assert noise.abs().max() < 1e-7


@pytest.mark.parametrize("noise", list(Noise))
def test_the_first_run_has_no_noise(noise: Noise) -> None:
    """Run 1 has the unchanged initial weights under every kind of noise."""
    assert torch.equal(perturb(noise, 1), get_weights(build_training()))


@pytest.mark.parametrize("noise", [Noise.bit_flip, Noise.tiny])
def test_noise_does_not_advance_the_generator(noise: Noise) -> None:
    """Adding noise leaves torch's global generator unchanged."""
    training = build_training()
    before = torch.get_rng_state()
    perturb_weights(training, noise, 2)
    assert torch.equal(torch.get_rng_state(), before)
