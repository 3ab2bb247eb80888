"""Writing files of a study: completely or not at all, and only where the study is."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Write a file atomically: after a crash or power failure it is complete or absent.

    A link of this name is replaced, not followed. Raises OSError, for example on a full disk, and
    leaves the file's old content in place.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    try:
        with os.fdopen(os.open(temporary, flags, 0o666), "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, document: Any, indent: int | None = None) -> None:
    """Write JSON as ``write_text`` does. Raises ValueError for a number that is not finite."""
    separators = (",", ":" if indent is None else ": ")
    write_text(path, json.dumps(document, allow_nan=False, indent=indent, separators=separators))


def make_folder(path: Path) -> None:
    """Make a folder if there is none. Raises OSError if it is a link, which leads elsewhere."""
    if path.is_symlink():
        raise OSError(f"{path} is a link; remove it, and a folder will be made in its place")
    path.mkdir(exist_ok=True)
