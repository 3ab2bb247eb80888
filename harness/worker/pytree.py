"""Traversal of nested batches and optimizer states."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def leaves(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield each leaf of nested mappings, sequences and dataclasses with its dotted path."""
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        tree = {f.name: getattr(tree, f.name) for f in dataclasses.fields(tree)}
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from leaves(value, f"{path}.{key}")
    elif isinstance(tree, Sequence) and not isinstance(tree, str | bytes | bytearray):
        for index, value in enumerate(tree):
            yield from leaves(value, f"{path}.{index}")
    else:
        yield path, tree
