"""Copies of a working directory: which of its files a script needs, and their digest.

Left out are version control, caches, virtual environments, secrets, studies, and read-only data.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.core.protocol import COPY_PREFIX

EXCLUDED = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        ".venv",
        "venv",
        "node_modules",
        "__pycache__",
        ".cache",
        ".ipynb_checkpoints",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".tox",
        ".nox",
    }
)


@dataclass(frozen=True)
class FolderContents:
    """What a copy holds. ``digest`` is a SHA-256 over the names and contents of all entries."""

    files: int
    bytes: int
    digest: str


def iter_files(folder: Path, omitted: Collection[Path]) -> Iterator[Path]:
    """Iterate over the files and links to copy; ``omitted`` are paths in the folder."""
    for _, files in _walk(folder, omitted):
        yield from files


def copy_folder(original: Path, copy: Path, omitted: Collection[Path]) -> None:
    """Copy a folder, with its empty folders and with links that lead into it led into the copy.

    Both paths are absolute and resolved.
    """
    for here, files in _walk(original, omitted):
        (copy / here.relative_to(original)).mkdir(parents=True, exist_ok=True)
        for path in files:
            _copy_file(path, original, copy)


def describe_folder(folder: Path) -> FolderContents:
    """Return the number, size and digest of what is in a copy."""
    digest, files, size = hashlib.sha256(), 0, 0
    for here, paths in _walk(folder, ()):
        digest.update(f"{here.relative_to(folder)}/\0".encode())
        for path in paths:
            digest.update(f"{path.relative_to(folder)}\0".encode())
            digest.update(_content_digest(path, folder))
            files += 1
            size += path.lstat().st_size
    return FolderContents(files, size, digest.hexdigest())


def _content_digest(path: Path, folder: Path) -> bytes:
    if path.is_symlink():
        target = path.readlink()
        inside = target.is_relative_to(folder)
        return os.fsencode(target.relative_to(folder) if inside else target)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _walk(folder: Path, omitted: Collection[Path]) -> Iterator[tuple[Path, list[Path]]]:
    """Iterate over the folders to copy, each with its files and links, in alphabetical order."""
    for here, folders, names in os.walk(folder):
        base = Path(here)
        links = [name for name in folders if (base / name).is_symlink()]
        folders[:] = sorted(
            name
            for name in folders
            if name not in links and _is_copied(base / name) and base / name not in omitted
        )
        paths = [base / name for name in sorted([*names, *links]) if not name.startswith(".env")]
        yield base, [path for path in paths if _is_copyable(path) and path not in omitted]


def _is_copyable(path: Path) -> bool:
    return path.is_symlink() or path.is_file()


def _is_copied(folder: Path) -> bool:
    """Whether a folder is not a cache, virtual environment, study or copy of another run."""
    if folder.name in EXCLUDED or folder.name.startswith((".env", COPY_PREFIX)):
        return False
    documents = ("manifest.json", "schedule.json")  # a study that was killed early has only one
    is_study = (folder / "runs").is_dir() and any((folder / name).exists() for name in documents)
    return not is_study and not (folder / "pyvenv.cfg").exists()


def _copy_file(path: Path, original: Path, folder: Path) -> None:
    copy = folder / path.relative_to(original)
    if path.is_symlink():
        target = path.resolve()
        inside = target.is_relative_to(original)
        copy.symlink_to(folder / target.relative_to(original) if inside else target)
    else:
        shutil.copy2(path, copy)
