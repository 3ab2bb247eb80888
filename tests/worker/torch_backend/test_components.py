"""The digest of a component changes exactly if that part of a step changes."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from harness.scenarios import mlp, resnet

from harness.scenario import Context, Training
from harness.worker.torch_backend import components

CPU = torch.device("cpu")


def build_training() -> Training:
    torch.manual_seed(1)
    np.random.seed(1)
    return resnet.build(resnet.Options(width=4, depth=1, batch_size=8), Context(CPU))


def digest_step(training: Training) -> dict[str, str]:
    torch.manual_seed(2)
    batch = next(training.batches())
    before = components.rng()
    loss = training.step(batch)
    return vars(components.step_digests(training, before, components.batch_digest(batch), loss))


def test_equal_steps_have_equal_digests_in_every_component() -> None:
    """Two steps from equal seeds give the same digests."""
    assert digest_step(build_training()) == digest_step(build_training())


def test_one_ulp_in_a_weight_changes_only_later_components() -> None:
    """A weight changed by one ulp changes gradients and parameters, and leaves the batch equal."""
    original, nudged = build_training(), build_training()
    weight = next(nudged.models["model"].parameters())
    with torch.no_grad():
        weight[0, 0, 0, 0] = torch.nextafter(weight[0, 0, 0, 0], torch.tensor(9.0))
    a, b = digest_step(original), digest_step(nudged)
    assert a["batch"] == b["batch"]
    assert a["params"] != b["params"]
    assert a["grads"] != b["grads"]


def test_every_generator_is_part_of_the_digest() -> None:
    """A draw from Python's, NumPy's or torch's generator changes the digest of the generators."""
    for draw in (random.random, np.random.rand, lambda: torch.rand(())):
        before = components.rng()
        draw()
        assert components.rng() != before


def test_digests_draw_no_random_numbers() -> None:
    """Computing the digests of a step leaves the generators unchanged."""
    training = build_training()
    digest_step(training)
    before = components.rng()
    batch = torch.zeros(1)
    components.step_digests(training, before, components.batch_digest(batch), batch)
    assert components.rng() == before


@pytest.mark.parametrize("batch", ["text", b"bytes", ["a", "b"], np.array(["a", "b"]), {"x": "a"}])
def test_text_in_a_batch_is_digested(batch: Any) -> None:
    """Two batches of different text, or of different string arrays, have different digests."""
    other = {"x": "b"} if isinstance(batch, dict) else batch[::-1]
    assert components.batch_digest(batch) == components.batch_digest(batch)
    assert components.batch_digest(batch) != components.batch_digest(other)


def test_an_object_without_defined_bits_is_no_difference() -> None:
    """Two functions or objects of one type in an optimizer's options have equal digests."""

    def state(value: Any) -> str:
        bits = components.Bits()
        bits.add({"param_groups": [{"decay": value}]}, "optimizer")
        return bits.digest()

    assert state(object()) == state(object())
    assert state(lambda: 1) == state(lambda: 1)
    assert state(0.1) != state(0.2)


class Graph:
    """A batch as libraries for graphs define it: its tensors are attributes."""

    def __init__(self, nodes: torch.Tensor, owner: object) -> None:
        self.nodes, self.owner, self.itself = nodes, owner, self


def test_the_attributes_of_an_object_are_digested() -> None:
    """Its tensors count; what has no defined bits, in it or elsewhere, is named by its type."""

    def digest(value: float, owner: object) -> tuple[str, set[str]]:
        bits = components.Bits()
        bits.add([Graph(torch.full((3,), value), owner), {"a", "b"}], "batch")
        return bits.digest(), bits.undigested

    assert digest(1, None) == digest(1, None)
    assert digest(1, None) != digest(2, None)
    assert digest(1, None)[1] == set()
    assert digest(1, print)[1] == {"builtin_function_or_method"}


def test_one_element_of_a_long_array_is_part_of_the_state() -> None:
    """A NumPy array in an optimizer's state is digested whole, not by its abbreviated repr."""
    array = np.zeros(2000)
    bits, changed = components.Bits(), components.Bits()
    bits.add({"m": array}, "state")
    array = array.copy()
    array[1000] = 1
    changed.add({"m": array}, "state")
    assert bits.digest() != changed.digest()


def test_a_learning_rate_is_part_of_the_optimizer() -> None:
    """Halving the learning rate changes the digest of the optimizer."""
    training = build_training()
    before = components.optimizer(training)
    training.optimizers["optimizer"].param_groups[0]["lr"] *= 0.5
    assert components.optimizer(training) != before


def test_a_missing_gradient_is_not_a_zero_gradient() -> None:
    """Gradients that are missing have another digest than gradients of zeros."""
    training = mlp.build(mlp.Options(), Context(CPU))
    missing = components.digest(components.grads(training))
    for _, parameter in components.params(training):
        parameter.grad = torch.zeros_like(parameter)
    assert components.digest(components.grads(training)) != missing
