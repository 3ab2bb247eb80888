"""A training's result, leaf by leaf, as a file that one process writes and another reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.core.files import write_json

# In the folder of one run: the request, and the result or the failure.
REQUEST = "asked.json"
RESULT = "result.json"
TENSORS = "tensors.safetensors"
FAILURE = "failure.json"
# Environment variable of a process whose result is compared: the folder to write it to.
IN_RUN = "HARNESS_IN_RUN"


@dataclass(frozen=True)
class Leaf:
    name: str  # path within the returned value: result.model.0.weight
    kind: str  # dtype as torch spells it, or the type of a plain value
    value: str  # digest of a tensor's exact bits, or a plain value as Python prints it
    shape: tuple[int, ...] | None = None  # None for a plain value

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Leaf:
        shape = document["shape"]
        return cls(**{**document, "shape": None if shape is None else tuple(shape)})


Leaves = tuple[Leaf, ...]


def leaves_to_json(leaves: Iterable[Leaf]) -> list[dict[str, Any]]:
    return [asdict(leaf) for leaf in leaves]


def leaves_from_json(documents: Iterable[Mapping[str, Any]]) -> Leaves:
    return tuple(Leaf.from_json(document) for document in documents)


def write(folder: Path, leaves: Iterable[Leaf]) -> None:
    write_json(folder / RESULT, leaves_to_json(leaves))


def read(folder: Path) -> Leaves:
    return leaves_from_json(json.loads((folder / RESULT).read_text(encoding="utf-8")))
