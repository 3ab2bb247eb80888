"""A small decoder that upsamples twice, with interpolate or its deterministic replacement.

``impl: expand`` repeats each pixel with expand and reshape. Its backward is a sum in a fixed order,
whereas the backward of interpolate on a GPU adds with atomics. The forwards of both must agree bit
for bit; every run checks and records this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.scenario import Context, Evaluation, Examples, Supervised, digits, predict

EVALUATED_IMAGES = 32


@dataclass(frozen=True)
class Options:
    impl: Literal["interpolate", "expand"] = "interpolate"
    mode: Literal["nearest", "bilinear", "bicubic"] = "nearest"
    width: int = 32
    batch_size: int = 32
    steps: int = 120
    learning_rate: float = 0.002

    def __post_init__(self) -> None:
        if self.impl == "expand" and self.mode != "nearest":
            raise ValueError(
                f"impl=expand does not support mode={self.mode}: "
                "use mode=nearest or impl=interpolate"
            )


def expand(x: Tensor) -> Tensor:
    """Upsample (n, c, h, w) to (n, c, 2h, 2w) by nearest neighbor."""
    n, c, h, w = x.shape
    return x[:, :, :, None, :, None].expand(n, c, h, 2, w, 2).reshape(n, c, 2 * h, 2 * w)


class Upsample(nn.Module):
    def __init__(self, impl: str, mode: str) -> None:
        super().__init__()
        self.impl, self.mode = impl, mode

    def forward(self, x: Tensor) -> Tensor:
        return (
            expand(x) if self.impl == "expand" else F.interpolate(x, scale_factor=2, mode=self.mode)
        )


class Reconstruction(Supervised):
    """Images are their own targets; the prediction is whether a pixel exceeds 0.5."""

    def evaluate(self) -> Evaluation:
        images = self.held_out.inputs[:EVALUATED_IMAGES]
        inked = predict(self.model, images) > 0.5
        accuracy = (inked == (images > 0.5)).double().mean().item()
        return Evaluation(inked.flatten().to(torch.uint8), accuracy)

    def facts(self) -> dict[str, Any]:
        images = self.held_out.inputs[:EVALUATED_IMAGES]
        nearest = F.interpolate(images, scale_factor=2, mode="nearest")
        return {"nearest_equals_expand_forward": bool(torch.equal(nearest, expand(images)))}


def build(options: Options, context: Context) -> Reconstruction:
    width = options.width
    model = nn.Sequential(
        nn.Conv2d(1, width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, stride=2, padding=1),
        nn.ReLU(),
        Upsample(options.impl, options.mode),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(),
        Upsample(options.impl, options.mode),
        nn.Conv2d(width, 1, 3, padding=1),
    ).to(context.device)
    train, held_out = digits(context.device)
    return Reconstruction(
        model=model,
        optimizer=torch.optim.Adam(model.parameters(), lr=options.learning_rate),
        loss=F.mse_loss,
        train=Examples(train.inputs, train.inputs),
        held_out=held_out,
        batch_size=options.batch_size,
        steps=options.steps,
    )
