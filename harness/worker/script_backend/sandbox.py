"""The sandbox of a script: a private copy of the study's copy of the working directory.

Files that the script writes by relative paths are digested and deleted with the copy. Writes
elsewhere cannot be prevented. Those under the original folder and in linked data are detected by
the files' sizes and modification times, and reported.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.core.folder_copy import copy_folder, iter_files
from harness.core.private_folder import make_private_folder
from harness.core.protocol import COPY_PREFIX
from harness.core.redact import portable_path
from harness.core.spec import Scenario
from harness.worker.script_backend.output import digest_since, log_size

MB = 1e6
SHOWN_ENTRIES = 5
MAX_LINKS = 1000  # in a folder with more entries, such as /tmp, a project has no neighbors
Stamps = dict[Path, tuple[int, int]]  # size in bytes and modification time in ns


@dataclass
class Sandbox:
    original: Path
    folder: Path
    files: dict[str, str] = field(default_factory=dict)  # digests of written files
    touched: list[str] = field(default_factory=list)  # files changed outside the copy
    printed: str = ""  # digest of what the script printed; empty if it printed nothing

    def path_in_copy(self, path: Path) -> Path:
        """Map a path in the original folder to the copy; return any other path unchanged."""
        inside = path.is_relative_to(self.original)
        copy = self.folder / path.relative_to(self.original) if inside else path
        return copy if copy.exists() else path

    def facts(self) -> dict[str, Any]:
        """Return the recorded files, without empty entries."""
        facts: dict[str, Any] = {"files": self.files, "touched": self.touched}
        return {name: value for name, value in facts.items() if value}


@contextmanager
def create_sandbox(
    scenario: Scenario, source: Path, digest_of: Callable[[Path, Path], str]
) -> Iterator[Sandbox]:
    """Make a copy of ``source``, itself a copy of the working directory; on exit, fill in what the
    script has left.

    ``digest_of`` is called with each file that was written and with the copy's folder.
    """
    original, data = Path.cwd(), _data_paths(scenario)
    outside = _scan(original, data)
    # no TemporaryDirectory: it deletes its folder when the script's exit handlers are called
    root = make_private_folder(COPY_PREFIX)
    sandbox = Sandbox(original, _make_neighborhood(root, original))
    try:
        inside = [path.relative_to(original) for path in data if path.is_relative_to(original)]
        copy_folder(source, sandbox.folder, [source / path for path in inside])
        _link_data(inside, original, sandbox.folder)
        before = _scan(sandbox.folder, [])
        os.chdir(sandbox.folder)
        printed_before = log_size()
        try:
            yield sandbox
        finally:
            os.chdir(original)
            sandbox.printed = digest_since(printed_before, sandbox.folder)
            after = _scan(original, data)
            sandbox.touched += [portable_path(path) for path in _changed_paths(outside, after)]
        for path in _changed_paths(before, _scan(sandbox.folder, [])):
            if path.is_file():
                relative = str(path.relative_to(sandbox.folder))
                sandbox.files[relative] = digest_of(path, sandbox.folder)
    finally:  # a process that the script left behind may still write into the copy
        shutil.rmtree(root, ignore_errors=True)


def check_size(scenario: Scenario) -> None:
    """Raises UsageError if the copy would exceed ``copy_limit_mb`` or data does not exist."""
    here, data = Path.cwd(), _data_paths(scenario)
    for path in data:
        if not path.exists():
            raise UsageError(f"scenario.data: {portable_path(path)} does not exist")
    limit = float(scenario.options["copy_limit_mb"])
    sizes = Counter[str]()
    for path in iter_files(here, data):
        sizes[path.relative_to(here).parts[0]] += path.lstat().st_size
    if sizes.total() <= limit * MB:
        return
    entries = sizes.most_common(SHOWN_ENTRIES)
    largest = ", ".join(f"{name} {size / MB:.0f} MB" for name, size in entries)
    raise UsageError(
        f"each run copies this folder, which holds {sizes.total() / MB:.0f} MB: more than "
        f"scenario.copy_limit_mb={limit:g}. Largest entries: {largest}. List read-only data in "
        "'scenario.data=[...]' to link it instead of copying it, or raise the limit"
    )


def _data_paths(scenario: Scenario) -> list[Path]:
    return [Path(str(path)).expanduser().resolve() for path in scenario.options["data"]]


def _make_neighborhood(root: Path, original: Path) -> Path:
    """Make a folder for the copy of ``original``, with links to what is beside it and its parent.

    So a script finds ``../data`` and ``../../data``. Returns the folder, two levels below ``root``.
    """
    parent = root / (original.parent.name or "root")
    folder = parent / (original.name or "root")
    folder.mkdir(parents=True)
    for place, here in ((parent, original), (root, original.parent)):
        beside = _entries(here.parent) if here != here.parent else []
        for path in beside if len(beside) <= MAX_LINKS else ():
            if path != here:
                (place / path.name).symlink_to(path)
    return folder


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # not readable
        return []


def _link_data(paths: list[Path], original: Path, folder: Path) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(original / path)


def _scan(folder: Path, data: list[Path]) -> Stamps:
    stamps: Stamps = {}
    data_files = (path for root in data for path in _iter_data_files(root))
    for path in [*iter_files(folder, data), *data_files]:
        try:
            status = path.lstat()
        except FileNotFoundError:  # another process has deleted it
            continue
        stamps[path] = (status.st_size, status.st_mtime_ns)
    return stamps


def _iter_data_files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
    else:
        yield from (path for path in sorted(root.rglob("*")) if path.is_file())


def _changed_paths(before: Stamps, after: Stamps) -> list[Path]:
    """Return the paths that were added, deleted or modified."""
    paths = before.keys() | after.keys()
    return sorted(path for path in paths if before.get(path) != after.get(path))
