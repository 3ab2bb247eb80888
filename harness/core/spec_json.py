"""Specs as JSON, and the short hash of it by which cells and runs are named."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

# Marks a field that older studies do not have. JSON omits it at its default, so that equal requests
# keep their ids.
LATER = {"later": True}


def to_json(spec: Any) -> dict[str, Any]:
    """Return the JSON document of a spec, a frozen data class."""
    document: dict[str, Any] = _to_plain(spec)
    return document


def _to_plain(value: Any) -> Any:
    """Convert dataclasses to dictionaries, omitting LATER fields that have their default."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        items = [(item, getattr(value, item.name)) for item in dataclasses.fields(value)]
        return {
            item.name: _to_plain(inner)
            for item, inner in items
            if not (item.metadata.get("later") and inner == item.default)
        }
    if isinstance(value, dict):
        return {key: _to_plain(inner) for key, inner in value.items()}
    return [_to_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def short_hash(spec: Any) -> str:
    """Return eight hexadecimal digits of the SHA-256 of a spec's canonical JSON."""
    canonical = json.dumps(to_json(spec), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]
