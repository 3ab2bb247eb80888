"""Digests of a step's components, in the order in which the step computes them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.core.record import Components
from harness.scenario import Evaluation
from harness.worker.pytree import leaves
from harness.worker.torch_backend.digest import Named, digest


class TrainingState(Protocol):
    """What is digested of a training: a scenario's, or the part that hooks observe in a script."""

    @property
    def models(self) -> Mapping[str, nn.Module]: ...

    @property
    def optimizers(self) -> Mapping[str, Optimizer]: ...


def rng() -> str:
    """Return the digest of all global generators: Python, NumPy, torch and each CUDA device."""
    version, internal, gauss = random.getstate()
    algorithm, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    tensors = [
        ("python", torch.tensor(internal)),
        ("numpy", torch.from_numpy(np.asarray(keys, np.int64))),
    ]
    tensors.append(("torch", torch.get_rng_state()))
    if torch.cuda.is_initialized():
        tensors += [(f"cuda:{i}", state) for i, state in enumerate(torch.cuda.get_rng_state_all())]
    values = {"python": [version, gauss], "numpy": [algorithm, position, has_gauss, cached]}
    return digest(tensors, values)


def step_digests(training: TrainingState, rng_before: str, batch: Any, loss: Tensor) -> Components:
    """Return the digests after a step; ``rng_before`` is taken before the batch is fetched."""
    return Components(
        rng=rng_before,
        batch=digest(_batch_tensors(batch)),
        buffers=digest(buffers(training)),
        loss=digest([("loss", loss)]),
        grads=digest(grads(training)),
        params=digest(params(training)),
        optimizer=optimizer(training),
    )


def final_digests(training: TrainingState, loss: Tensor, evaluation: Evaluation) -> dict[str, str]:
    """Return the outcome digests at the end, with the same keys for trace and timing runs."""
    return {
        "loss": digest([("loss", loss)]),
        "grads": digest(grads(training)),
        "params": digest(params(training)),
        "buffers": digest(buffers(training)),
        "optimizer": optimizer(training),
        "predictions": digest([("predictions", evaluation.predictions)]),
    }


def params(training: TrainingState) -> Named:
    for name, model in training.models.items():
        for key, parameter in model.named_parameters():
            yield f"{name}.{key}", parameter


def grads(training: TrainingState) -> Named:
    """Yield the gradients that exist; a missing gradient and a zero one have different digests."""
    for name, parameter in params(training):
        if parameter.grad is not None:
            yield name, parameter.grad


def buffers(training: TrainingState) -> Named:
    for name, model in training.models.items():
        for key, buffer in model.named_buffers():
            yield f"{name}.{key}", buffer


def optimizer(training: TrainingState) -> str:
    """Return the digest of the optimizers: state tensors, learning rates, betas, step counts."""
    tensors: list[tuple[str, Tensor]] = []
    values: dict[str, Any] = {}
    for name, optim in training.optimizers.items():
        for path, value in leaves(optim.state_dict(), name):
            if isinstance(value, Tensor):
                tensors.append((path, value))
            else:
                values[path] = repr(value)
    return digest(tensors, values)


def _batch_tensors(batch: Any) -> Named:
    for path, value in leaves(batch, "batch"):
        if isinstance(value, Tensor):
            yield path, value
        elif isinstance(value, np.ndarray | int | float):
            yield path, torch.as_tensor(value)
