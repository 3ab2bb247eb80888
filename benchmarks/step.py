"""A timed step compared with a hand-written training loop, alternating in one process.

Both train the same net on the same data. The hand-written loop has no scenario class, no protocol
and no timer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from harness.scenarios import cnn, mlp, resnet
from torch import Tensor, nn

from benchmarks.alternate import format_ratio, ratio_of
from harness.analysis.cost import Ratio
from harness.scenario import Context, Supervised
from harness.worker.torch_backend.timer import time_training

CPU = torch.device("cpu")
HALF_WIDTH = 0.005
LIMIT_S = 90.0
TRAININGS: dict[str, Callable[[], Supervised]] = {
    "mlp": lambda: mlp.build(mlp.Options(), Context(CPU)),
    "cnn": lambda: cnn.build(cnn.Options(), Context(CPU)),
    "resnet": lambda: resnet.build(resnet.Options(), Context(CPU)),
}


def run() -> None:
    for name, build in TRAININGS.items():
        print(f"timed step / bare step, {name}: {format_ratio(measured(build))}  (1.00 ± 0.01)")


def measured(build: Callable[[], Supervised]) -> Ratio:
    training = build()
    loop = partial(
        bare,
        training.model,
        training.optimizer,
        training.loss,
        training.train.inputs,
        training.train.targets,
        (training.batch_size, training.steps),
    )
    return ratio_of(lambda: time_training(training, 0, CPU), loop, HALF_WIDTH, LIMIT_S)


def bare(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    criterion: Callable[[Tensor, Tensor], Tensor],
    inputs: Tensor,
    targets: Tensor,
    size_and_steps: tuple[int, int],
) -> None:
    """A plain PyTorch training loop."""
    batch_size, steps = size_and_steps
    step = 0
    while step < steps:
        order = torch.randperm(len(inputs))
        for start in range(0, len(inputs) - batch_size + 1, batch_size):
            if step == steps:
                break
            step += 1
            index = order[start : start + batch_size]
            x, y = inputs[index], targets[index]
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
