"""The folder in which a script runs: a private copy of the working directory, made for each run.

What it writes there by relative paths is thrown away with the copy, after a digest of each file.
Writes elsewhere cannot be prevented: those under the original folder and in data that the copy
links to are found by the files' sizes and times, and told.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.core.protocol import COPY_PREFIX
from harness.core.redact import portable_path
from harness.core.spec import Scenario

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
MB = 1e6
SHOWN = 5  # largest entries
Stamps = dict[Path, tuple[int, int]]  # size in bytes and time of change in ns


@dataclass
class Sandbox:
    original: Path
    folder: Path
    files: dict[str, str] = field(default_factory=dict)  # that the script wrote, with digests
    touched: list[str] = field(default_factory=list)  # that changed outside of the copy

    def path_in_copy(self, path: Path) -> Path:
        """Where a path of the original is in the copy; elsewhere it stays what it is."""
        inside = path.is_relative_to(self.original)
        copy = self.folder / path.relative_to(self.original) if inside else path
        return copy if copy.exists() else path

    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = {"files": self.files, "touched": self.touched}
        return {name: value for name, value in found.items() if value}


@contextmanager
def create_sandbox(scenario: Scenario, digest_of: Callable[[Path, Path], str]) -> Iterator[Sandbox]:
    """The working directory is the copy while this lasts; afterwards its findings are filled in.

    ``digest_of`` is called with each file that was written and the copy that it lies in.
    """
    original, data = Path.cwd(), _data_paths(scenario)
    _remove_orphans()
    outside = _scan(original, data)
    with tempfile.TemporaryDirectory(prefix=f"{COPY_PREFIX}{os.getpid()}-") as name:
        place = Sandbox(original, Path(name).resolve())
        _copy(original, place.folder, data)
        before = _scan(place.folder, [])
        os.chdir(place.folder)
        try:
            yield place
        finally:
            os.chdir(original)
            after = _scan(original, data)
            place.touched += [portable_path(path) for path in _changed_paths(outside, after)]
        for path in _changed_paths(before, _scan(place.folder, [])):
            if path.is_file():
                place.files[str(path.relative_to(place.folder))] = digest_of(path, place.folder)


def check_size(scenario: Scenario) -> None:
    """Raises UsageError where the copy would be larger than allowed, or data are not there."""
    here, data = Path.cwd(), _data_paths(scenario)
    for path in data:
        if not path.exists():
            raise UsageError(f"scenario.data: there is no {portable_path(path)} here")
    limit = float(scenario.options["copy_limit_mb"])
    sizes = Counter[str]()
    for path in _iter_files(here, data):
        sizes[path.relative_to(here).parts[0]] += path.lstat().st_size
    if sizes.total() <= limit * MB:
        return
    largest = ", ".join(f"{name} {size / MB:.0f} MB" for name, size in sizes.most_common(SHOWN))
    raise UsageError(
        f"each run gets a copy of this folder, which holds {sizes.total() / MB:.0f} MB, and "
        f"scenario.copy_limit_mb={limit:g} allows less. The largest: {largest}. Name what is only "
        "read in 'scenario.data=[...]', which is linked instead, or raise the limit"
    )


def _data_paths(scenario: Scenario) -> list[Path]:
    return [Path(str(one)).expanduser().resolve() for one in scenario.options["data"]]


def _iter_files(folder: Path, data: list[Path]) -> Iterator[Path]:
    """Files and links of what is copied."""
    for here, folders, names in os.walk(folder):
        base = Path(here)
        links = [one for one in folders if (base / one).is_symlink()]
        folders[:] = sorted(
            one
            for one in folders
            if one not in links and _is_copied(base / one) and base / one not in data
        )
        for name in sorted([*names, *links]):
            path = base / name
            is_kind = path.is_symlink() or path.is_file()
            if is_kind and not name.startswith(".env") and path not in data:
                yield path


def _is_copied(folder: Path) -> bool:
    """Not caches, virtual environments, studies, and the copies of other runs."""
    if folder.name in EXCLUDED or folder.name.startswith((".env", COPY_PREFIX)):
        return False
    is_study = (folder / "manifest.json").exists() and (folder / "runs").is_dir()
    return not is_study and not (folder / "pyvenv.cfg").exists()


def _copy(original: Path, folder: Path, data: list[Path]) -> None:
    for path in _iter_files(original, data):
        to = folder / path.relative_to(original)
        to.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            target = path.resolve()  # of a link inside, the copy; else whatever it leads to
            inside = target.is_relative_to(original)
            to.symlink_to(folder / target.relative_to(original) if inside else target)
        else:
            shutil.copy2(path, to)
    for path in data:
        if path.is_relative_to(original):
            to = folder / path.relative_to(original)
            to.parent.mkdir(parents=True, exist_ok=True)
            to.symlink_to(path)


def _scan(folder: Path, data: list[Path]) -> Stamps:
    found: Stamps = {}
    for path in [
        *_iter_files(folder, data),
        *(one for root in data for one in _iter_data_files(root)),
    ]:
        try:
            now = path.lstat()
        except FileNotFoundError:  # another process's, gone meanwhile
            continue
        found[path] = (now.st_size, now.st_mtime_ns)
    return found


def _iter_data_files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
    else:
        yield from (path for path in sorted(root.rglob("*")) if path.is_file())


def _changed_paths(before: Stamps, after: Stamps) -> list[Path]:
    """New, gone, or of another size or time."""
    return sorted(one for one in before.keys() | after.keys() if before.get(one) != after.get(one))


def _remove_orphans() -> None:
    """Copies of runs that were killed: the process that their name holds is no more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{COPY_PREFIX}*"):
        pid = folder.name.removeprefix(COPY_PREFIX).partition("-")[0]
        if pid.isdigit() and not _is_alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
