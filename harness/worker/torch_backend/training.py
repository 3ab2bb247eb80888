"""Prepares a training for its first step: applies the setting, builds it, adds noise."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from harness.core.spec import Noise, RunSpec
from harness.scenario import Training
from harness.worker import scenario_loader
from harness.worker.torch_backend import settings

INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by size in bytes

TINY = 1e-8  # standard deviation; float32 is too coarse for it in weights above 0.17


def build_training(
    spec: RunSpec, device: torch.device, in_child: Callable[[], None] | None = None
) -> Training:
    """Apply the setting, then build; processes that the scenario starts call ``in_child`` first."""
    settings.apply(spec.determinism)
    context = settings.build_context(spec.determinism, device, in_child)
    training: Training = scenario_loader.build_scenario(spec.cell.scenario, context)
    perturb_weights(training, spec.cell.noise, spec.number)
    return training


def perturb_weights(training: Training, noise: Noise, number: int) -> None:
    """Change initial weights in place, differently in each run; run 1 stays unchanged.

    Draws from a separate generator, so that the training's random numbers stay the same.
    """
    if number == 1 or noise not in (Noise.bit_flip, Noise.tiny):
        return
    generator = torch.Generator().manual_seed(number)
    weights = [p.data for model in training.models.values() for p in model.parameters()]
    if noise is Noise.bit_flip:
        _flip_a_bit(weights, generator)
    else:
        _add_tiny_noise(weights, generator)


def _flip_a_bit(weights: list[Tensor], generator: torch.Generator) -> None:
    """Flip the last mantissa bit, one ulp, of one element; all elements are equally likely."""
    sizes = torch.tensor([weight.numel() for weight in weights], dtype=torch.float64)
    chosen = weights[int(torch.multinomial(sizes, 1, generator=generator))]
    index = torch.randint(chosen.numel(), (), generator=generator)
    element = chosen[tuple(torch.unravel_index(index, chosen.shape))]
    element.view(INTEGERS[element.element_size()]).bitwise_xor_(1)


def _add_tiny_noise(weights: list[Tensor], generator: torch.Generator) -> None:
    for weight in weights:
        mask = torch.rand(weight.shape, generator=generator) < 0.5
        noise = TINY * torch.randn(weight.shape, generator=generator) * mask
        weight.add_(noise.to(weight.device, weight.dtype))
