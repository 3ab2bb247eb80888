"""One operation at a time, forward and backward, with a random upstream gradient.

If many threads add to the same address, atomic additions happen in the order in which the threads
arrive, and the last bits differ. PyTorch's notes on ``use_deterministic_algorithms`` and other
publications list the operations that do this; here each of them can be tested alone. A gradient of
ones would hide the effect, because sums of small integers are exact. Each step therefore draws a
random upstream gradient. A forward that differs shows in the buffer ``output``, a backward that
differs in the gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from harness.scenario import Context, Evaluation, Training

from .attention import Backend, attend

Op = Literal[
    "index_add",
    "scatter_add",
    "index_put",
    "put",
    "index",
    "take",
    "index_select",
    "gather",
    "bincount",
    "histc",
    "cumsum",
    "median",
    "kthvalue",
    "embedding",
    "embedding_bag_sum",
    "embedding_bag_mean",
    "embedding_bag_max",
    "ctc_loss",
    "max_pool2d",
    "max_pool3d",
    "avg_pool2d",
    "avg_pool3d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool2d",
    "fractional_max_pool2d",
    "fractional_max_pool3d",
    "max_unpool2d",
    "reflection_pad1d",
    "reflection_pad2d",
    "reflection_pad3d",
    "replication_pad1d",
    "replication_pad2d",
    "replication_pad3d",
    "grid_sample_bilinear",
    "grid_sample_nearest",
    "grid_sample_bicubic",
    "interpolate_nearest",
    "interpolate_linear",
    "interpolate_bilinear",
    "interpolate_bicubic",
    "interpolate_trilinear",
    "interpolate_area",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "lstm",
    "attention_math",
    "attention_efficient",
    "attention_flash",
]
ROWS = 64  # destinations of many additions each
RECORDED_VALUES = 1000  # output values recorded as predictions; the buffer's digest covers all


@dataclass(frozen=True)
class Options:
    op: Op = "index_add"
    length: int | None = None  # of the first input's first dimension; None: see OPERATIONS
    dtype: Literal["float32", "float64", "bfloat16"] = "float32"
    steps: int = 10
    learning_rate: float = 0.01

    def __post_init__(self) -> None:
        if self.length is not None and self.length < 1:
            raise ValueError(f"length={self.length}: must be at least 1")


class Operation:
    """A function and the shapes of its floating-point inputs; each call draws new indices."""

    def __init__(self, call: Callable[..., Tensor], *shapes: tuple[int, ...]) -> None:
        self.call, self.shapes = call, shapes


def draw(x: Tensor, below: int, *shape: int) -> Tensor:
    """Draw indices below ``below`` on the device of ``x``, by default one for each element."""
    return torch.randint(below, shape or x.shape, device=x.device)


def bag(mode: str) -> Callable[[Tensor], Tensor]:
    return lambda x: F.embedding_bag(draw(x, len(x), len(x), 64), x, mode=mode)


def ctc(x: Tensor) -> Tensor:
    """Return the CTC loss of ``x`` (time, batch, classes); class 0 is the blank."""
    time, batch, classes = x.shape
    targets = draw(x, classes - 1, batch, 16) + 1
    lengths = [torch.full((batch,), length, device=x.device) for length in (time, 16)]
    return F.ctc_loss(x.log_softmax(-1), targets, lengths[0], lengths[1], reduction="none")


def sampled(mode: str) -> Callable[[Tensor], Tensor]:
    def grid_sample(x: Tensor) -> Tensor:
        grid = 2 * torch.rand(len(x), 32, 32, 2, device=x.device) - 1
        return F.grid_sample(x, grid, mode=mode, align_corners=False)

    return grid_sample


def padded(mode: str, *pad: int) -> Callable[[Tensor], Tensor]:
    return lambda x: F.pad(x, pad, mode=mode)


def resized(mode: str) -> Callable[[Tensor], Tensor]:
    return lambda x: F.interpolate(x, scale_factor=2.5, mode=mode)


def lstm(x: Tensor, *weights: Tensor) -> Tensor:
    """Call torch.lstm as a one-layer nn.LSTM does, on ``x`` (batch, time, width)."""
    zeros = x.new_zeros(1, len(x), weights[1].shape[1])
    output: Tensor = torch.lstm(x, (zeros, zeros), weights, True, 1, 0.0, True, False, True)[0]
    return output


def attention(backend: Backend) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    def attended(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        if backend == "flash" and queries.is_cuda:  # CUDA has flash for half precision only
            queries, keys, values = queries.bfloat16(), keys.bfloat16(), values.bfloat16()
        return attend(queries, keys, values, backend).float()

    return attended


NUMBERS = (200_000,)
TABLE = (256, 16)
LINE, IMAGE, VOLUME = (8, 8, 512), (8, 8, 32, 32), (2, 4, 16, 16, 16)  # batch, channels, extent
HEADS = (4, 4, 128, 32)  # batch, heads, tokens, width

# Rounding produces ties, for which median and kthvalue may return any of several indices.
OPERATIONS: dict[Op, Operation] = {
    "index_add": Operation(lambda x: x.new_zeros(ROWS).index_add(0, draw(x, ROWS), x), NUMBERS),
    "scatter_add": Operation(lambda x: x.new_zeros(ROWS).scatter_add(0, draw(x, ROWS), x), NUMBERS),
    "index_put": Operation(
        lambda x: x.new_zeros(ROWS).index_put((draw(x, ROWS),), x, accumulate=True), NUMBERS
    ),
    "put": Operation(lambda x: x.new_zeros(ROWS).put(draw(x, ROWS), x, accumulate=True), NUMBERS),
    # The backwards of these two add to few addresses.
    "index": Operation(lambda x: x[draw(x, ROWS)], NUMBERS),
    "take": Operation(lambda x: x.take(draw(x, ROWS)), NUMBERS),
    "index_select": Operation(lambda x: x.index_select(0, draw(x, len(x), 64 * len(x))), TABLE),
    "gather": Operation(lambda x: x.gather(0, draw(x, len(x), 64 * len(x), 16)), TABLE),
    "bincount": Operation(lambda x: draw(x, ROWS).bincount(x.detach(), ROWS), NUMBERS),
    "histc": Operation(lambda x: (x + torch.randn_like(x)).detach().histc(ROWS), NUMBERS),
    "cumsum": Operation(lambda x: x.cumsum(0), NUMBERS),
    "median": Operation(lambda x: x.mul(4).round().median(0).indices, (4096, 16)),
    "kthvalue": Operation(lambda x: x.mul(4).round().kthvalue(len(x) // 3, 0).indices, (4096, 16)),
    "embedding": Operation(lambda x: F.embedding(draw(x, len(x), 64 * len(x)), x), TABLE),
    "embedding_bag_sum": Operation(bag("sum"), TABLE),
    "embedding_bag_mean": Operation(bag("mean"), TABLE),
    "embedding_bag_max": Operation(bag("max"), TABLE),
    "ctc_loss": Operation(ctc, (64, 32, 20)),
    "max_pool2d": Operation(lambda x: F.max_pool2d(x, 3, stride=1), IMAGE),
    "max_pool3d": Operation(lambda x: F.max_pool3d(x, 3, stride=1), VOLUME),
    "avg_pool2d": Operation(lambda x: F.avg_pool2d(x, 3, stride=1), IMAGE),
    "avg_pool3d": Operation(lambda x: F.avg_pool3d(x, 3, stride=1), VOLUME),
    "adaptive_avg_pool2d": Operation(lambda x: F.adaptive_avg_pool2d(x, 7), IMAGE),
    "adaptive_avg_pool3d": Operation(lambda x: F.adaptive_avg_pool3d(x, 7), VOLUME),
    "adaptive_max_pool2d": Operation(lambda x: F.adaptive_max_pool2d(x, 7), IMAGE),
    "fractional_max_pool2d": Operation(lambda x: F.fractional_max_pool2d(x, 3, 25), IMAGE),
    "fractional_max_pool3d": Operation(lambda x: F.fractional_max_pool3d(x, 3, 12), VOLUME),
    # Two inputs can have the same random destination; which of them remains is not defined.
    "max_unpool2d": Operation(lambda x: F.max_unpool2d(x, draw(x, 64 * 64), [2, 2]), IMAGE),
    "reflection_pad1d": Operation(padded("reflect", 200, 200), LINE),
    "reflection_pad2d": Operation(padded("reflect", 20, 20, 20, 20), IMAGE),
    "reflection_pad3d": Operation(padded("reflect", 8, 8, 8, 8, 8, 8), VOLUME),
    "replication_pad1d": Operation(padded("replicate", 200, 200), LINE),
    "replication_pad2d": Operation(padded("replicate", 20, 20, 20, 20), IMAGE),
    "replication_pad3d": Operation(padded("replicate", 8, 8, 8, 8, 8, 8), VOLUME),
    "grid_sample_bilinear": Operation(sampled("bilinear"), IMAGE),
    "grid_sample_nearest": Operation(sampled("nearest"), IMAGE),
    "grid_sample_bicubic": Operation(sampled("bicubic"), IMAGE),
    "interpolate_nearest": Operation(resized("nearest"), IMAGE),
    "interpolate_linear": Operation(resized("linear"), LINE),
    "interpolate_bilinear": Operation(resized("bilinear"), IMAGE),
    "interpolate_bicubic": Operation(resized("bicubic"), IMAGE),
    "interpolate_trilinear": Operation(resized("trilinear"), VOLUME),
    "interpolate_area": Operation(resized("area"), IMAGE),
    "conv1d": Operation(F.conv1d, LINE, (16, 8, 5)),
    "conv2d": Operation(F.conv2d, IMAGE, (16, 8, 3, 3)),
    "conv3d": Operation(F.conv3d, VOLUME, (8, 4, 3, 3, 3)),
    "conv_transpose1d": Operation(F.conv_transpose1d, LINE, (8, 16, 5)),
    "conv_transpose2d": Operation(F.conv_transpose2d, IMAGE, (8, 16, 3, 3)),
    "lstm": Operation(lstm, (16, 16, 32), (128, 32), (128, 32), (128,), (128,)),
    "attention_math": Operation(attention("math"), HEADS, HEADS, HEADS),
    "attention_efficient": Operation(attention("efficient"), HEADS, HEADS, HEADS),
    "attention_flash": Operation(attention("flash"), HEADS, HEADS, HEADS),
}


class Applied(nn.Module):
    """An operation with its inputs as parameters and its last output as a buffer."""

    output: Tensor

    def __init__(self, operation: Operation, length: int | None, dtype: torch.dtype) -> None:
        super().__init__()
        first, *rest = operation.shapes
        shapes = [(length or first[0], *first[1:]), *rest]
        if len(set(operation.shapes)) == 1:  # queries, keys and values
            shapes = [shapes[0]] * len(shapes)
        self.call = operation.call
        self.inputs = nn.ParameterList(torch.randn(shape, dtype=dtype) for shape in shapes)
        self.register_buffer("output", torch.empty(0))

    def forward(self) -> Tensor:
        output = self.call(*self.inputs)
        self.output = output.detach()
        return output


@dataclass
class Atomics(Training):
    """Each step applies the operation, backpropagates a random gradient and updates the inputs."""

    op: Op
    applied: Applied
    optimizer: Optimizer
    steps: int
    has_gradient: bool = False  # known after the first step
    models: dict[str, nn.Module] = field(init=False)
    optimizers: dict[str, Optimizer] = field(init=False)

    def __post_init__(self) -> None:
        self.models = {"applied": self.applied}
        self.optimizers = {"optimizer": self.optimizer}

    def batches(self) -> Iterator[int]:
        """Iterate over step numbers; operations draw their own data."""
        yield from range(self.steps)

    def step(self, batch: int) -> Tensor:  # noqa: ARG002
        self.optimizer.zero_grad()
        output = self.applied()
        loss: Tensor = (output * torch.randn_like(output, dtype=upstream(output))).sum()
        self.has_gradient = loss.requires_grad
        if self.has_gradient:
            loss.backward()
        self.optimizer.step()
        return loss

    def evaluate(self) -> Evaluation:
        """Return the first values of the last output in place of predictions."""
        return Evaluation(self.applied.output.flatten()[:RECORDED_VALUES].clone(), None)

    def facts(self) -> dict[str, Any]:
        direction = "forward and backward" if self.has_gradient else "forward"
        return {"op": self.op, "direction": direction}


def upstream(output: Tensor) -> torch.dtype:
    """Return the upstream gradient's dtype: float32 for operations that return indices."""
    return output.dtype if output.is_floating_point() else torch.float32


def build(options: Options, context: Context) -> Atomics:
    dtype: torch.dtype = getattr(torch, options.dtype)
    applied = Applied(OPERATIONS[options.op], options.length, dtype).to(context.device)
    return Atomics(
        op=options.op,
        applied=applied,
        optimizer=torch.optim.SGD(applied.parameters(), lr=options.learning_rate),
        steps=options.steps,
    )
