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


class Recorder:
    """Where the generators stood before each batch was fetched."""

    def __init__(self) -> None:
        self.history: list[Generators] = []  # by step; only those that had moved
        self.last: Generators = {}

    def note(self) -> None:
        now = generators()
        self.history.append({k: one for k, one in now.items() if one != self.last.get(k)})
        self.last = now


def generators() -> Generators:
    found = {
        "python": pickle.dumps(random.getstate()),
        "numpy": pickle.dumps(np.random.get_state()),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }
    if torch.cuda.is_initialized():
        states = torch.cuda.get_rng_state_all()
        found |= {f"cuda:{n}": one.numpy().tobytes() for n, one in enumerate(states)}
    return found


def put_back(states: Generators) -> None:
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


def save(path: Path, training: Training, recorder: Recorder, digest: str) -> None:
    """Stores the state under which the next batch is fetched; ``digest`` is that state's."""
    recorder.note()
    document = {
        "history": recorder.history,
        "parameters": dict(params(training)),
        "grads": {name: one.grad for name, one in params(training)},
        "buffers": dict(buffers(training)),
        "optimizer": states_of(training.optimizers),
        "attributes": states_of(attributes(training)),
        "counters": plain_attributes(training),
        "digest": digest,
    }
    temporary = path.with_suffix(".tmp")
    path.parent.mkdir(exist_ok=True)
    torch.save(document, temporary)
    temporary.replace(path)


def parts_of(path: Path) -> list[str]:
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


def restore(
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
        fetch_again(training, batches, document["history"][:-1])
    with torch.no_grad():
        for name, parameter in params(training) if is_taken("parameters") else ():
            parameter.copy_(document["parameters"][name])
            parameter.grad = document["grads"][name]
    for name, model in training.models.items() if is_taken("buffers") else ():
        put_buffers(name, model, document["buffers"])
    for name, optimizer in training.optimizers.items() if is_taken("optimizer") else ():
        optimizer.load_state_dict(document["optimizer"][name])
    for name, one in attributes(training).items():
        if is_taken(name):
            one.load_state_dict(document["attributes"][name])
    if is_taken("counters"):
        vars(training).update(document["counters"])
    latest = {name: one for states in document["history"] for name, one in states.items()}
    put_back(
        {name: one for name, one in latest.items() if is_taken(f"{name.partition(':')[0]}_rng")}
    )
    return str(document["digest"])


def fetch_again(training: Training, batches: Iterator[Any], history: list[Generators]) -> None:
    """The batches that were fetched before, and nothing else: what that changes is put back."""
    before = generators()
    held = {**training.optimizers, **attributes(training)}
    states, counters = states_of(held), plain_attributes(training)
    with warnings.catch_warnings():  # of schedulers that are stepped before their optimizers
        warnings.simplefilter("ignore")
        for one in history:
            put_back(one)
            next(batches, None)
    for name, one in held.items():
        one.load_state_dict(states[name])
    vars(training).update(counters)
    put_back(before)


def put_buffers(name: str, model: nn.Module, stored: dict[str, Tensor]) -> None:
    """In place where the shape is still the same, as others may hold the tensor too."""
    for path, module in model.named_modules():
        for key, buffer in module.named_buffers(recurse=False):
            value = stored[".".join(filter(None, (name, path, key)))]
            if buffer.shape == value.shape:
                buffer.copy_(value)
            else:
                setattr(module, key, value)


def attributes(training: Training) -> dict[str, Any]:
    """Whatever can be stored that is neither model nor optimizer: schedulers, scalers."""
    return {
        name: value
        for name, value in vars(training).items()
        if not isinstance(value, nn.Module | Optimizer)
        and hasattr(value, "state_dict")
        and hasattr(value, "load_state_dict")
    }


def states_of(held: Mapping[str, Any]) -> dict[str, Any]:
    return {name: deepcopy(one.state_dict()) for name, one in held.items()}


def plain_attributes(training: Training) -> dict[str, Any]:
    """Numbers, texts, and what holds nothing else."""
    return {
        name: value
        for name, value in vars(training).items()
        if isinstance(value, PLAIN | list | dict | tuple)
        and all(isinstance(leaf, PLAIN) for _, leaf in leaves(value, name))
    }
