"""Digests of a step's components, in the order in which the step computes them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import PurePath
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.core.steps import Components
from harness.scenario import Evaluation
from harness.worker.pytree import leaves
from harness.worker.torch_backend.digest import Named, digest

PLAIN = (
    str,
    bytes,
    int,
    float,
    complex,
    type(None),
    Enum,
    PurePath,
    torch.dtype,
    torch.device,
    np.generic,
)


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


def step_digests(
    training: TrainingState, rng_before: str, batch: str, loss: Tensor, grads_before: str = ""
) -> Components:
    """Return the digests after a step.

    ``rng_before`` is taken before the batch is fetched; ``batch`` is a digest of the batch.
    ``grads_before`` is a digest of gradients that the step may have discarded.
    """
    return Components(
        rng=rng_before,
        batch=batch,
        buffers=digest(buffers(training)),
        loss=digest([("loss", loss)]),
        grads=grads_before or digest(grads(training)),
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


def returned_grads(grads: Sequence[Tensor | None]) -> Named:
    """Yield the gradients that ``torch.autograd.grad`` returned, without those that are missing."""
    return ((str(index), grad) for index, grad in enumerate(grads) if grad is not None)


def buffers(training: TrainingState) -> Named:
    for name, model in training.models.items():
        for key, buffer in model.named_buffers():
            yield f"{name}.{key}", buffer


def optimizer(training: TrainingState) -> str:
    """Return the digest of the optimizers: state tensors, learning rates, betas, step counts."""
    bits = Bits()
    for name, optim in training.optimizers.items():
        bits.add(optim.state_dict(), name)
    return bits.digest()


def batch_digest(batch: Any) -> str:
    """Return the digest of a batch, or of a model's arguments: tensors, arrays, numbers, text."""
    bits = Bits()
    bits.add(batch, "batch")
    return bits.digest()


def undigested_state(training: TrainingState) -> set[str]:
    """Return the types of what the optimizers' states hold and cannot be digested."""
    bits = Bits()
    bits.add([optim.state_dict() for optim in training.optimizers.values()], "optimizer")
    return bits.undigested


def joint_digest(digests: Sequence[str]) -> str:
    """Return one digest of several, such as those of a step's forwards."""
    return digest([], {"inputs": list(digests)})


class Bits:
    """The tensors and plain values in nested objects, and in the attributes of other objects.

    What has no defined bits, such as a function (its ``repr`` contains an address), counts by its
    type alone, which is noted in ``undigested``. Modules do too: their state is digested elsewhere.
    """

    def __init__(self, is_counted: Callable[[Tensor], bool] = lambda _: True) -> None:
        """Tensors for which ``is_counted`` is false are left out."""
        self.is_counted = is_counted
        self.tensors: list[tuple[str, Tensor]] = []
        self.values: dict[str, str] = {}
        self.undigested: set[str] = set()
        self.entered: list[object] = []  # objects whose attributes are being added

    def add(self, tree: Any, path: str) -> None:
        for name, value in leaves(tree, path):
            if isinstance(value, Tensor):
                if self.is_counted(value):
                    self.tensors.append((name, value))
            elif isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
                self.tensors.append((name, torch.from_numpy(np.ascontiguousarray(value))))
            elif isinstance(value, np.ndarray):
                self.add(value.tolist(), name)
            elif isinstance(value, PLAIN):
                self.values[name] = repr(value)
            elif isinstance(value, set | frozenset) and all(isinstance(x, PLAIN) for x in value):
                self.values[name] = repr(sorted(map(repr, value)))
            else:
                self._add_object(name, value)

    def _add_object(self, name: str, value: Any) -> None:
        kind = type(value).__qualname__
        self.values[name] = kind
        if isinstance(value, nn.Module) or any(value is one for one in self.entered):
            return
        if _has_plain_attributes(value):
            self.entered.append(value)
            self.add(vars(value), name)
            self.entered.pop()
        else:
            self.undigested.add(kind)

    def digest(self) -> str:
        return digest(self.tensors, self.values)


def _has_plain_attributes(value: Any) -> bool:
    """Whether an object is no more than its attributes: not a function, class or foreign object."""
    is_python_object = not any("__new__" in vars(kind) for kind in type(value).__mro__[:-1])
    return hasattr(value, "__dict__") and is_python_object and not callable(value)
