"""The components of a step, in the order in which a step makes them."""

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
    """What of a training is digested: a scenario's, or what a script has shown of its own."""

    @property
    def models(self) -> Mapping[str, nn.Module]: ...

    @property
    def optimizers(self) -> Mapping[str, Optimizer]: ...


def rng() -> str:
    """The state of every global generator: Python's, NumPy's, torch's and each device's."""
    version, internal, gauss = random.getstate()
    algorithm, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    tensors = [
        ("python", torch.tensor(internal)),
        ("numpy", torch.from_numpy(np.asarray(keys, np.int64))),
    ]
    tensors.append(("torch", torch.get_rng_state()))
    if torch.cuda.is_initialized():
        tensors += [(f"cuda:{i}", state) for i, state in enumerate(torch.cuda.get_rng_state_all())]
    plain = {"python": [version, gauss], "numpy": [algorithm, position, has_gauss, cached]}
    return digest(tensors, plain)


def step_digests(training: TrainingState, rng_before: str, batch: Any, loss: Tensor) -> Components:
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
    """Outcome digests at the end: the same words from a trace run and from a timing run."""
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
    """Gradients that exist; a missing one is another digest than a zero one."""
    for name, parameter in params(training):
        if parameter.grad is not None:
            yield name, parameter.grad


def buffers(training: TrainingState) -> Named:
    for name, model in training.models.items():
        for key, buffer in model.named_buffers():
            yield f"{name}.{key}", buffer


def optimizer(training: TrainingState) -> str:
    """Tensors by parameter index, and every plain value: learning rate, betas, step counts."""
    tensors: list[tuple[str, Tensor]] = []
    plain: dict[str, Any] = {}
    for name, one in training.optimizers.items():
        for path, value in leaves(one.state_dict(), name):
            if isinstance(value, Tensor):
                tensors.append((path, value))
            else:
                plain[path] = repr(value)
    return digest(tensors, plain)


def _batch_tensors(batch: Any) -> Named:
    for path, value in leaves(batch, "batch"):
        if isinstance(value, Tensor):
            yield path, value
        elif isinstance(value, np.ndarray | int | float):
            yield path, torch.as_tensor(value)
