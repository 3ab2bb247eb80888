"""A small transformer that reads each digit as eight tokens, with a selectable attention kernel.

``scaled_dot_product_attention`` has several kernels and selects one by device, dtype and shape.
``backend`` restricts it to one of them. On CUDA, ``efficient`` and ``flash`` accumulate the
gradients of the queries with atomics unless deterministic algorithms are enabled; ``math`` consists
of plain matrix products. Only the initial weights and the order of the data are random.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from harness.scenario import Context, Supervised, digits

TOKENS, PIXELS = 8, 8  # a token is a row of the image
Backend = Literal["default", "math", "efficient", "flash"]
KERNELS: dict[Backend, SDPBackend] = {
    "math": SDPBackend.MATH,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
}

NO_KERNEL = ("No available kernel", "No viable backend")  # torch's errors on CUDA and on a CPU


@dataclass(frozen=True)
class Options:
    backend: Backend = "default"  # torch selects the kernel
    amp: bool = False  # autocast to bfloat16, which needs no gradient scaling
    width: int = 32
    heads: int = 4
    layers: int = 2
    batch_size: int = 32
    steps: int = 40
    learning_rate: float = 0.01

    def __post_init__(self) -> None:
        if self.heads < 1 or self.width % self.heads:
            raise ValueError(f"heads={self.heads}: must be positive and divide width={self.width}")


def attend(queries: Tensor, keys: Tensor, values: Tensor, backend: Backend) -> Tensor:
    """Apply attention with the requested kernel; all shapes are (batch, heads, tokens, width).

    Raises ValueError if torch has no such kernel for the inputs; never falls back to another.
    """
    if backend == "default":
        return F.scaled_dot_product_attention(queries, keys, values)
    try:
        with sdpa_kernel(KERNELS[backend]):
            return F.scaled_dot_product_attention(queries, keys, values)
    except RuntimeError as error:
        if not any(text in str(error) for text in NO_KERNEL):
            raise
        kind, dtype = queries.device.type, str(queries.dtype).removeprefix("torch.")
        raise ValueError(
            f"backend={backend}: this build of torch has no such kernel for {dtype} on {kind}; "
            "math is available everywhere, efficient on CUDA, flash on CUDA for bfloat16 (amp=true)"
        ) from error


class Layer(nn.Module):
    """Self-attention and a dense net, each with pre-normalization and a residual connection."""

    def __init__(self, width: int, heads: int, backend: Backend) -> None:
        super().__init__()
        self.heads, self.backend = heads, backend
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.project_in, self.project_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.dense = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.dense(self.norm2(x))  # type: ignore[no-any-return]

    def attention(self, x: Tensor) -> Tensor:
        split = self.project_in(x).unflatten(-1, (3, self.heads, -1))  # (n, tokens, 3, heads, w)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        mixed = attend(queries, keys, values, self.backend)
        return self.project_out(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class Transformer(nn.Module):
    def __init__(self, options: Options, classes: int = 10) -> None:
        super().__init__()
        width = options.width
        self.amp = options.amp
        self.embed = nn.Linear(PIXELS, width)
        self.position = nn.Parameter(0.02 * torch.randn(TOKENS, width))
        layers = [Layer(width, options.heads, options.backend) for _ in range(options.layers)]
        self.layers = nn.Sequential(*layers, nn.LayerNorm(width))
        self.fc = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.amp):
            x = self.embed(images.squeeze(1)) + self.position
            return self.fc(self.layers(x).mean(dim=1)).float()  # type: ignore[no-any-return]


def build(options: Options, context: Context) -> Supervised:
    model = Transformer(options).to(context.device)
    train, held_out = digits(context.device)
    return Supervised(
        model=model,
        optimizer=torch.optim.Adam(model.parameters(), lr=options.learning_rate),
        loss=F.cross_entropy,
        train=train,
        held_out=held_out,
        batch_size=options.batch_size,
        steps=options.steps,
    )
