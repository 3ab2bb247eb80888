"""The log of a traced window: every dispatched operation, in order. Standard library only.

The worker writes it, one JSON document a run; what compares two of them reads nothing else.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from harness.core.record import write_json

FOLDER = "operations"  # in the study's folder, while the diagnosis is made
PHASES = ("build", "data", "forward", "backward", "optimizer")


@dataclass(frozen=True)
class Operation:
    """One dispatched operation; two runs' operations correspond where their ``place`` is equal."""

    step: int
    phase: str  # one of PHASES
    module: str  # path in the training's models, of its forward for a backward operation
    name: str  # as torch dispatches it: aten.index_put_.default
    source: str  # file:line of the training's own code that led to it
    inputs: str  # digest of tensors read, plain arguments, and generators that it draws from
    outputs: str  # digest of what it returned and wrote; empty where no bytes are defined
    reads_fresh: bool = False  # a tensor that nothing has written to since it was allocated

    @property
    def place(self) -> tuple[int, str, str, str]:
        return (self.step, self.phase, self.module, self.name)


@dataclass(frozen=True)
class OpLog:
    run_id: str
    begins: dict[str, str]  # by step: digest of the whole state and all generators before it
    operations: list[Operation]
    others: tuple[OpLog, ...] = ()  # of the other ranks of the same training, in their order


FIELDS = tuple(field.name for field in dataclasses.fields(Operation))


def log_path(folder: Path, run_id: str, repeat: int, rank: int = 0) -> Path:
    return folder / f"{run_id}.{repeat}.{rank}.json"


def state_path(folder: Path, cell: str, step: int) -> Path:
    """A training's state before a step, from which other runs go on."""
    return folder / f"{cell}-{step}.pt"


def tensors_path(folder: Path, run_id: str, repeat: int) -> Path:
    """What the operation gave whose tensors were to be kept."""
    return folder / f"{run_id}.{repeat}.safetensors"


def write(path: Path, log: OpLog) -> None:
    """Rows share their texts: a table of strings and rows of indices into it."""
    texts: dict[str, int] = {}

    def place(value: Any) -> Any:
        return texts.setdefault(value, len(texts)) if isinstance(value, str) else value

    rows = [[place(getattr(one, name)) for name in FIELDS] for one in log.operations]
    document = {"run_id": log.run_id, "begins": log.begins, "texts": list(texts), "rows": rows}
    write_json(path, document)


def pop(folder: Path, run_id: str, repeat: int) -> OpLog:
    """The log of a run with those of its other ranks; the files go, for they are megabytes each.

    Raises OSError or ValueError where there is no whole log.
    """
    found = []
    for rank in count():
        path = log_path(folder, run_id, repeat, rank)
        if rank and not path.exists():
            break
        found.append(read(path))
        path.unlink()
    return replace(found[0], others=tuple(found[1:]))


def read(path: Path) -> OpLog:
    """Raises OSError or ValueError where there is no whole log."""
    document = json.loads(path.read_text(encoding="utf-8"))
    texts = document["texts"]
    kinds = [field.type for field in dataclasses.fields(Operation)]
    operations = [
        Operation(
            *(
                texts[value] if kind == "str" else value
                for value, kind in zip(row, kinds, strict=True)
            )
        )
        for row in document["rows"]
    ]
    return OpLog(document["run_id"], document["begins"], operations)
