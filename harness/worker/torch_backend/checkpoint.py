"""Checkpoints: save a training before one of its steps and resume it in other processes.

A checkpoint stores models, optimizers, every other attribute with a ``state_dict``, and attributes
of plain values. It cannot store the position in the data: to restore that, the earlier batches are
fetched again without a step, each with the generator states of its first fetch.
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

SCALAR = int | float | str | None
Generators = dict[str, bytes]  # generator name to state


class GeneratorHistory:
    """The generator states before each batch was fetched."""

    def __init__(self) -> None:
        self.changes: list[Generators] = []  # by step; only the generators that changed
        self.last: Generators = {}

    def record(self) -> None:
        states = generator_states()
        changed = {name: state for name, state in states.items() if state != self.last.get(name)}
        self.changes.append(changed)
        self.last = states


def generator_states() -> Generators:
    states = {
        "python": pickle.dumps(random.getstate()),
        "numpy": pickle.dumps(np.random.get_state()),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }
    if torch.cuda.is_initialized():
        cuda_states = enumerate(torch.cuda.get_rng_state_all())
        states |= {f"cuda:{index}": state.numpy().tobytes() for index, state in cuda_states}
    return states


def set_generator_states(states: Generators) -> None:
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


def save_checkpoint(path: Path, training: Training, history: GeneratorHistory, digest: str) -> None:
    """Save the state before the next batch is fetched; ``digest`` is the digest of that state."""
    history.record()
    document = {
        "history": history.changes,
        "parameters": dict(params(training)),
        "grads": {name: parameter.grad for name, parameter in params(training)},
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
    """Return the names of the parts of a checkpoint that ``restore_checkpoint`` can leave out."""
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
    """Bring a fresh training and its batches to the saved step; return the stored digest.

    ``parts`` selects from ``checkpoint_parts``; the others stay as in a fresh training. None
    restores all of them.
    """
    document: dict[str, Any] = torch.load(path, weights_only=False)

    def is_selected(part: str) -> bool:
        return parts is None or part in parts

    if is_selected("position"):
        _refetch_batches(training, batches, document["history"][:-1])
    with torch.no_grad():
        for name, parameter in params(training) if is_selected("parameters") else ():
            parameter.copy_(document["parameters"][name])
            parameter.grad = document["grads"][name]
    for name, model in training.models.items() if is_selected("buffers") else ():
        _restore_buffers(name, model, document["buffers"])
    for name, optimizer in training.optimizers.items() if is_selected("optimizer") else ():
        optimizer.load_state_dict(document["optimizer"][name])
    for name, attribute in _stateful_attributes(training).items():
        if is_selected(name):
            attribute.load_state_dict(document["attributes"][name])
    if is_selected("counters"):
        vars(training).update(document["counters"])
    latest = {
        name: state
        for states in document["history"]
        for name, state in states.items()
        if is_selected(f"{name.partition(':')[0]}_rng")
    }
    set_generator_states(latest)
    return str(document["digest"])


def _refetch_batches(training: Training, batches: Iterator[Any], history: list[Generators]) -> None:
    """Fetch the earlier batches again and undo every other change that this makes."""
    before = generator_states()
    stateful = {**training.optimizers, **_stateful_attributes(training)}
    state_dicts, counters = _state_dicts(stateful), _plain_attributes(training)
    with warnings.catch_warnings():  # schedulers warn when stepped before their optimizers
        warnings.simplefilter("ignore")
        for states in history:
            set_generator_states(states)
            next(batches, None)
    for name, owner in stateful.items():
        owner.load_state_dict(state_dicts[name])
    vars(training).update(counters)
    set_generator_states(before)


def _restore_buffers(name: str, model: nn.Module, stored: dict[str, Tensor]) -> None:
    """Copy in place if the shape is unchanged, because other objects may share the tensor."""
    for path, module in model.named_modules():
        for key, buffer in module.named_buffers(recurse=False):
            value = stored[".".join(filter(None, (name, path, key)))]
            if buffer.shape == value.shape:
                buffer.copy_(value)
            else:
                setattr(module, key, value)


def _stateful_attributes(training: Training) -> dict[str, Any]:
    """Return attributes with a state_dict other than models and optimizers: schedulers, scalers."""
    return {
        name: value
        for name, value in vars(training).items()
        if not isinstance(value, nn.Module | Optimizer)
        and hasattr(value, "state_dict")
        and hasattr(value, "load_state_dict")
    }


def _state_dicts(stateful: Mapping[str, Any]) -> dict[str, Any]:
    return {name: deepcopy(owner.state_dict()) for name, owner in stateful.items()}


def _plain_attributes(training: Training) -> dict[str, Any]:
    """Return attributes that are numbers, strings, None, or containers of only those."""
    return {
        name: value
        for name, value in vars(training).items()
        if isinstance(value, SCALAR | list | dict | tuple)
        and all(isinstance(leaf, SCALAR) for _, leaf in leaves(value, name))
    }
