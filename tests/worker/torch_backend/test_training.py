"""Noise on initial weights changes what it says and nothing else."""

from __future__ import annotations

import pytest
import torch
from harness.scenarios import mlp

from harness.core.spec import Noise
from harness.scenario import Context, Training
from harness.worker.torch_backend.training import perturb_weights


def fresh() -> Training:
    torch.manual_seed(1)
    return mlp.build(mlp.Options(), Context(torch.device("cpu")))


def weights(training: Training) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in training.models["model"].parameters()])


def perturbed(noise: Noise, number: int) -> torch.Tensor:
    training = fresh()
    perturb_weights(training, noise, number)
    return weights(training)


@pytest.mark.parametrize("number", [2, 3, 17])
def test_a_bit_flip_moves_one_weight_by_one_unit_in_the_last_place(number: int) -> None:
    before, after = weights(fresh()), perturbed(Noise.bit_flip, number)
    ulps = (after.view(torch.int32) - before.view(torch.int32)).abs()
    assert ulps.sum() == 1


def test_each_run_flips_another_bit() -> None:
    before = weights(fresh())
    places = {int((perturbed(Noise.bit_flip, number) != before).nonzero()) for number in (2, 3, 4)}
    assert len(places) == 3


def test_tiny_noise_moves_about_half_of_the_weights_by_about_a_hundred_millionth() -> None:
    before = weights(fresh())
    moved = perturbed(Noise.tiny, 2) - before
    fine = before.abs() < 0.125  # where float32 is fine enough to take 1e-8 up
    assert 0.2 < (moved[fine] != 0).float().mean() < 0.6
    assert moved.abs().max() < 1e-7


@pytest.mark.parametrize("noise", list(Noise))
def test_the_first_run_is_left_as_it_is(noise: Noise) -> None:
    assert torch.equal(perturbed(noise, 1), weights(fresh()))


@pytest.mark.parametrize("noise", [Noise.bit_flip, Noise.tiny])
def test_the_trainings_own_random_numbers_stay_the_same(noise: Noise) -> None:
    training = fresh()
    before = torch.get_rng_state()
    perturb_weights(training, noise, 2)
    assert torch.equal(torch.get_rng_state(), before)
