"""The operation log of a window of steps: every dispatched operation, in order.

The worker writes one JSON document per training; comparing two trainings needs nothing else.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from harness.core.files import write_json

PHASES = ("build", "data", "forward", "backward", "optimizer")


@dataclass(frozen=True)
class Operation:
    """One dispatched operation; operations of two runs correspond if their ``place`` is equal."""

    step: int
    phase: str  # one of PHASES
    module: str  # path within the training's models; for a backward operation, of its forward
    name: str  # as torch dispatches it: aten.index_put_.default
    source: str  # file:line of the training's own code that led to it
    inputs: str  # digest of tensors read, plain arguments, and generators drawn from
    outputs: str  # digest of what it returned and wrote; empty if no bytes are defined
    reads_fresh: bool = False  # reads uninitialized memory
    draws_random: bool = False  # from a generator of torch

    @property
    def place(self) -> tuple[int, str, str, str]:
        return (self.step, self.phase, self.module, self.name)


@dataclass(frozen=True)
class OpLog:
    run_id: str
    begins: dict[str, str]  # step to digest of the whole state and all generators before it
    operations: list[Operation]
    others: tuple[OpLog, ...] = ()  # of the other ranks of the same training, in rank order

    @property
    def is_empty(self) -> bool:
        return not any(log.operations for log in (self, *self.others))


FIELDS = tuple(field.name for field in dataclasses.fields(Operation))


def log_path(folder: Path, run_id: str, repeat: int, rank: int = 0) -> Path:
    return folder / f"{run_id}.{repeat}.{rank}.json"


def state_path(folder: Path, cell: str, step: int) -> Path:
    """Return the path of a training's state before a step, from which other runs resume."""
    return folder / f"{cell}-{step}.pt"


def tensors_path(folder: Path, run_id: str, repeat: int) -> Path:
    """Return the path of the output tensors of the operation that a run was asked to keep."""
    return folder / f"{run_id}.{repeat}.safetensors"


def write(path: Path, log: OpLog) -> None:
    """Write a log as a table of distinct strings and rows of indices into it."""
    texts: dict[str, int] = {}

    def encode(value: Any) -> Any:
        return texts.setdefault(value, len(texts)) if isinstance(value, str) else value

    rows = [[encode(getattr(operation, name)) for name in FIELDS] for operation in log.operations]
    document = {"run_id": log.run_id, "begins": log.begins, "texts": list(texts), "rows": rows}
    write_json(path, document)


def pop(folder: Path, run_id: str, repeat: int) -> OpLog:
    """Read a run's log with those of its other ranks, and delete the files: each has megabytes.

    Raises OSError or ValueError if a log is missing or incomplete.
    """
    logs = []
    for rank in count():
        path = log_path(folder, run_id, repeat, rank)
        if rank and not path.exists():
            break
        logs.append(read(path))
        path.unlink()
    return replace(logs[0], others=tuple(logs[1:]))


def read(path: Path) -> OpLog:
    """Read one log; raises OSError or ValueError if it is missing or incomplete."""
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
