"""The digests of a published study's files, in the format of ``sha256sum``."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from harness.core.files import write_text

SUMS = "SHA256SUMS"
HEX_DIGITS = 64


def write_sums(folder: Path) -> None:
    """List every file of a folder with its digest; `sha256sum --check` reads the list."""
    lines = [f"{_sha256(folder / name)}  {name}\n" for name in files_of(folder)]
    write_text(folder / SUMS, "".join(lines))


def check_sums(folder: Path) -> Iterator[str]:
    """Yield each file that is not as it was when the list was written.

    Raises OSError without a list, and ValueError for one that is damaged.
    """
    listed = dict(_read_sums(folder / SUMS))
    for name in sorted(listed.keys() | set(files_of(folder))):
        path = folder / name
        if name not in listed:
            yield f"{path} was added: {SUMS} does not list it"
        elif path.is_symlink() or not path.is_file():
            yield f"{path} is missing"
        elif _sha256(path) != listed[name]:
            yield f"{path} was changed: {SUMS} has another digest"


def files_of(folder: Path) -> Iterator[str]:
    """Yield the names of all files and links below a folder but the list of digests, in order."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name != SUMS and (path.is_symlink() or path.is_file()):
            yield name


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_sums(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        if len(digest) != HEX_DIGITS or not name or name.startswith("/") or ".." in name.split("/"):
            raise ValueError(f"{path} has a line that is no digest and name: {line[:80]!r}")
        yield name, digest
