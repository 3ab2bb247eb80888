"""Tables to download from a report that is one file: they are inside the page."""

from __future__ import annotations

import base64
from pathlib import Path

LARGEST = 500_000  # bytes of a table inside the page; a larger one is linked beside it


def download_links(tables: Path) -> dict[str, str]:
    """Return the address of each CSV file, by its name without the suffix."""
    return {path.stem: _address(path) for path in sorted(tables.glob("*.csv"))}


def _address(path: Path) -> str:
    content = path.read_bytes()
    if len(content) > LARGEST:
        return f"{path.parent.name}/{path.name}"
    return f"data:text/csv;base64,{base64.b64encode(content).decode('ascii')}"
