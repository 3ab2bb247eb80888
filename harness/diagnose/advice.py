"""What to do about operations that vary, by name and kind of device: advice.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from harness.core.spec import Cell
from harness.diagnose.origin import Origin

ADVICE = Path(__file__).parent / "advice.toml"
BY_ALGORITHMS = "torch.use_deterministic_algorithms"  # the source of what this switch changes
OWN_GENERATOR = (
    "The seed of the setting does not reach the generator that the operation draws from: the "
    "training creates one, or seeds one anew, as torch.seed() does. Seed it at that line."
)


def find_advice(origin: Origin | None, cell: Cell) -> str:
    """Return the advice for an origin's operation on the cell's kind of device, or ""."""
    if origin is None:
        return ""
    if origin.draws_from_other_state and cell.determinism.seed is not None:
        return OWN_GENERATOR
    for entry in _entries(origin.operation.name, cell.device):
        if origin.kind == entry.get("origin", origin.kind):
            advice = f"{entry['do'][0].upper()}{entry['do'][1:]}"
            return f"{advice} ({entry['source']}; torch {entry['torch']})."
    return ""


def changes_with_algorithms(name: str, device: str) -> bool:
    """Whether torch documents that an operation has deterministic and other algorithms."""
    return any(entry["source"].startswith(BY_ALGORITHMS) for entry in _entries(name, device))


def _entries(name: str, device: str) -> Iterator[dict[str, Any]]:
    for entry in _read():
        is_for_device = entry["device"] in (device.partition(":")[0], "any")
        if is_for_device and name.startswith(tuple(entry["operations"])):
            yield entry


@cache
def _read() -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = tomllib.loads(ADVICE.read_text(encoding="utf-8"))["advice"]
    return entries
