"""A training's state before one of its steps, saved once and gone on from in other processes.

Models, optimizers, whatever else of the training has a ``state_dict``, and its plain attributes are
stored. The position in the data cannot be: the batches before it are fetched again, each after the
generators were put where they stood when it was fetched first, and no step is taken with them.
"""

from __future__ import annotations

import pickle
import random
import warnings
from collections.abc import Collection, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from harness.scenario import Training
from harness.worker.pytree import leaves
from harness.worker.torch_backend.components import buffers, params

PLAIN = int | float | str | None
Generators = dict[str, bytes]  # the state of each, by name


class GeneratorHistory:
    """Where the generators stood before each batch was fetched."""

    def __init__(self) -> None:
        self.changes: list[Generators] = []  # by step; only those that had moved
        self.last: Generators = {}

    def record(self) -> None:
        now = _generator_states()
        self.changes.append({k: one for k, one in now.items() if one != self.last.get(k)})
        self.last = now


def _generator_states() -> Generators:
    found = {
        "python": pickle.dumps(random.getstate()),
        "numpy": pickle.dumps(np.random.get_state()),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }
    if torch.cuda.is_initialized():
        states = torch.cuda.get_rng_state_all()
        found |= {f"cuda:{n}": one.numpy().tobytes() for n, one in enumerate(states)}
    return found


def _set_generator_states(states: Generators) -> None:
    for name, state in states.items():
        if name == "python":
            random.setstate(pickle.loads(state))  # noqa: S301 - of our own file
        elif name == "numpy":
            np.random.set_state(pickle.loads(state))  # noqa: S301 - of our own file
        else:
            tensor = torch.frombuffer(bytearray(state), dtype=torch.uint8)
            if name == "torch":
                torch.set_rng_state(tensor)
            else:
                torch.cuda.set_rng_state(tensor, name)


def save_checkpoint(
    path: Path, training: Training, recorder: GeneratorHistory, digest: str
) -> None:
    """Stores the state under which the next batch is fetched; ``digest`` is that state's."""
    recorder.record()
    document = {
        "history": recorder.changes,
        "parameters": dict(params(training)),
        "grads": {name: one.grad for name, one in params(training)},
        "buffers": dict(buffers(training)),
        "optimizer": _state_dicts(training.optimizers),
        "attributes": _state_dicts(_stateful_attributes(training)),
        "counters": _plain_attributes(training),
        "digest": digest,
    }
    temporary = path.with_suffix(".tmp")
    path.parent.mkdir(exist_ok=True)
    torch.save(document, temporary)
    temporary.replace(path)


def checkpoint_parts(path: Path) -> list[str]:
    """What of a saved state can be left out: the training needs it, or does not."""
    document: dict[str, Any] = torch.load(path, weights_only=False)
    kinds = ("parameters", "buffers", "optimizer", "counters")
    names = {name.partition(":")[0] for states in document["history"] for name in states}
    return [
        *(kind for kind in kinds if document[kind]),
        *document["attributes"],
        "position",
        *(f"{name}_rng" for name in sorted(names)),
    ]


def restore_checkpoint(
    path: Path, training: Training, batches: Iterator[Any], parts: Collection[str] | None = None
) -> str:
    """Takes a fresh training and its batches to where they were saved; gives the digest stored.

    ``parts`` are those of ``parts_of`` that are taken from there; the others stay as they are in a
    fresh training.
    """
    document: dict[str, Any] = torch.load(path, weights_only=False)

    def is_taken(part: str) -> bool:
        return parts is None or part in parts

    if is_taken("position"):
        _refetch_batches(training, batches, document["history"][:-1])
    with torch.no_grad():
        for name, parameter in params(training) if is_taken("parameters") else ():
            parameter.copy_(document["parameters"][name])
            parameter.grad = document["grads"][name]
    for name, model in training.models.items() if is_taken("buffers") else ():
        _restore_buffers(name, model, document["buffers"])
    for name, optimizer in training.optimizers.items() if is_taken("optimizer") else ():
        optimizer.load_state_dict(document["optimizer"][name])
    for name, one in _stateful_attributes(training).items():
        if is_taken(name):
            one.load_state_dict(document["attributes"][name])
    if is_taken("counters"):
        vars(training).update(document["counters"])
    latest = {name: one for states in document["history"] for name, one in states.items()}
    _set_generator_states(
        {name: one for name, one in latest.items() if is_taken(f"{name.partition(':')[0]}_rng")}
    )
    return str(document["digest"])


def _refetch_batches(training: Training, batches: Iterator[Any], history: list[Generators]) -> None:
    """The batches that were fetched before, and nothing else: what that changes is put back."""
    before = _generator_states()
    held = {**training.optimizers, **_stateful_attributes(training)}
    states, counters = _state_dicts(held), _plain_attributes(training)
    with warnings.catch_warnings():  # of schedulers that are stepped before their optimizers
        warnings.simplefilter("ignore")
        for one in history:
            _set_generator_states(one)
            next(batches, None)
    for name, one in held.items():
        one.load_state_dict(states[name])
    vars(training).update(counters)
    _set_generator_states(before)


def _restore_buffers(name: str, model: nn.Module, stored: dict[str, Tensor]) -> None:
    """In place where the shape is still the same, as others may hold the tensor too."""
    for path, module in model.named_modules():
        for key, buffer in module.named_buffers(recurse=False):
            value = stored[".".join(filter(None, (name, path, key)))]
            if buffer.shape == value.shape:
                buffer.copy_(value)
            else:
                setattr(module, key, value)


def _stateful_attributes(training: Training) -> dict[str, Any]:
    """Whatever can be stored that is neither model nor optimizer: schedulers, scalers."""
    return {
        name: value
        for name, value in vars(training).items()
        if not isinstance(value, nn.Module | Optimizer)
        and hasattr(value, "state_dict")
        and hasattr(value, "load_state_dict")
    }


def _state_dicts(held: Mapping[str, Any]) -> dict[str, Any]:
    return {name: deepcopy(one.state_dict()) for name, one in held.items()}


def _plain_attributes(training: Training) -> dict[str, Any]:
    """Numbers, texts, and what holds nothing else."""
    return {
        name: value
        for name, value in vars(training).items()
        if isinstance(value, PLAIN | list | dict | tuple)
        and all(isinstance(leaf, PLAIN) for _, leaf in leaves(value, name))
    }
