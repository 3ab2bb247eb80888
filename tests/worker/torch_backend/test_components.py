"""Each component changes exactly where its part of a step changes something."""

from __future__ import annotations

import random

import numpy as np
import torch
from harness.scenarios import mlp, resnet

from harness.scenario import Context, Training
from harness.worker.torch_backend import components

CPU = torch.device("cpu")


def small() -> Training:
    torch.manual_seed(1)
    np.random.seed(1)
    return resnet.build(resnet.Options(width=4, depth=1, batch_size=8), Context(CPU))


def of_step(training: Training) -> dict[str, str]:
    torch.manual_seed(2)
    batch = next(training.batches())
    before = components.rng()
    return vars(components.step_digests(training, before, batch, training.step(batch)))


def test_equal_steps_have_equal_digests_in_every_component() -> None:
    assert of_step(small()) == of_step(small())


def test_a_weight_changed_by_one_ulp_changes_what_follows_and_not_what_precedes() -> None:
    one, nudged = small(), small()
    weight = next(nudged.models["model"].parameters())
    with torch.no_grad():
        weight[0, 0, 0, 0] = torch.nextafter(weight[0, 0, 0, 0], torch.tensor(9.0))
    a, b = of_step(one), of_step(nudged)
    assert a["batch"] == b["batch"]
    assert a["params"] != b["params"]
    assert a["grads"] != b["grads"]


def test_each_generator_counts() -> None:
    for draw in (random.random, np.random.rand, lambda: torch.rand(())):
        before = components.rng()
        draw()
        assert components.rng() != before


def test_watching_draws_nothing() -> None:
    training = small()
    of_step(training)
    before = components.rng()
    batch = torch.zeros(1)
    components.step_digests(training, before, batch, batch)
    assert components.rng() == before


def test_a_learning_rate_is_part_of_the_optimizer() -> None:
    training = small()
    before = components.optimizer(training)
    training.optimizers["optimizer"].param_groups[0]["lr"] *= 0.5
    assert components.optimizer(training) != before


def test_a_missing_gradient_is_not_a_zero_one() -> None:
    training = mlp.build(mlp.Options(), Context(CPU))
    missing = components.digest(components.grads(training))
    for _, parameter in components.params(training):
        parameter.grad = torch.zeros_like(parameter)
    assert components.digest(components.grads(training)) != missing
