"""A training ready for its first step: the setting applied, everything built, noise added."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from harness.core.spec import Noise, RunSpec
from harness.scenario import Training
from harness.worker import scenario_loader
from harness.worker.torch_backend import settings

INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes

TINY = 1e-8  # standard deviation; float32 weights above 0.17 are too coarse to take it up


def build_training(
    spec: RunSpec, device: torch.device, in_child: Callable[[], None] | None = None
) -> Training:
    """``in_child`` is what processes do first that the scenario starts itself."""
    settings.apply(spec.determinism)
    context = settings.build_context(spec.determinism, device, in_child)
    training: Training = scenario_loader.build_scenario(spec.cell.scenario, context)
    perturb_weights(training, spec.cell.noise, spec.number)
    return training


def perturb_weights(training: Training, noise: Noise, number: int) -> None:
    """Changes initial weights, other ones in each run; run 1 is left as it is.

    Draws from a generator of its own, so that the training's own random numbers stay the same.
    """
    generator = torch.Generator().manual_seed(number)
    weights = [p.data for model in training.models.values() for p in model.parameters()]
    if number > 1 and noise is Noise.bit_flip:
        _flip_a_bit(weights, generator)
    if number > 1 and noise is Noise.tiny:
        _add_tiny_noise(weights, generator)


def _flip_a_bit(weights: list[Tensor], generator: torch.Generator) -> None:
    """The last bit of the mantissa of one element, any of them with equal chance: one ulp."""
    sizes = torch.tensor([weight.numel() for weight in weights], dtype=torch.float64)
    chosen = weights[int(torch.multinomial(sizes, 1, generator=generator))]
    place = torch.randint(chosen.numel(), (), generator=generator)
    element = chosen[tuple(torch.unravel_index(place, chosen.shape))]
    element.view(INTEGERS[element.element_size()]).bitwise_xor_(1)


def _add_tiny_noise(weights: list[Tensor], generator: torch.Generator) -> None:
    for weight in weights:
        half = torch.rand(weight.shape, generator=generator) < 0.5
        added = TINY * torch.randn(weight.shape, generator=generator) * half
        weight.add_(added.to(weight.device, weight.dtype))
