"""The golden file next to a test file: the values of its tests at the time they were recorded.

Several processes may write it at once (pytest-xdist): each locks the folder, reads the current
file, and adds its own values.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.files import write_json
from harness.core.leaf_file import Leaves, leaves_from_json, leaves_to_json

FOLDER = "__reproducible__"
FORMAT = 1


class BadGoldenError(Exception):
    """The golden file is damaged or has another format; it is neither used nor overwritten."""


@dataclass(frozen=True)
class Entry:
    leaves: Leaves
    environment: dict[str, Any]
    tensors: str | None  # name of the file with the tensors' elements; None if not stored


Entries = dict[str, dict[str, Entry]]  # by test, then by value name


class Golden:
    def __init__(self, test_file: Path) -> None:
        folder = test_file.parent / FOLDER
        self.path = folder / f"{test_file.stem}.json"
        self.tensors = folder / test_file.stem

    def entries(self) -> Entries:
        """Return the recorded values, none if there is no file.

        Raises BadGoldenError if the file cannot be read.
        """
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
            if document["format"] != FORMAT:
                raise BadGoldenError(
                    f"{self.path} has format {document['format']}, but this version of the harness "
                    f"reads format {FORMAT}: use the version that wrote the file"
                )
            return {
                test: {name: _entry_from_json(entry) for name, entry in values.items()}
                for test, values in document["values"].items()
            }
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadGoldenError(
                f"{self.path} is not a valid golden file ({type(error).__name__}: {error}): "
                "restore it from version control, or delete it and record it again with "
                "--update-golden"
            ) from error

    def tensors_file(self, name: str) -> Path:
        return self.tensors / f"{name}.safetensors"

    def record(self, test: str, new: Mapping[str, Entry], save: Callable[[], None]) -> None:
        """Add or replace values of a test; ``save`` is called first to write their tensors.

        Tensor files that no entry refers to any more are deleted.
        """
        self.path.parent.mkdir(exist_ok=True)
        with self._locked():
            entries = self.entries()
            save()
            entries[test] = {**entries.get(test, {}), **new}
            document = {
                test: {name: entry_to_json(entry) for name, entry in sorted(values.items())}
                for test, values in sorted(entries.items())
            }
            write_json(self.path, {"format": FORMAT, "values": document}, indent=1)
            self._delete_unused_tensors(entries)

    def _delete_unused_tensors(self, entries: Entries) -> None:
        used = {entry.tensors for values in entries.values() for entry in values.values()}
        for path in self.tensors.glob("*.safetensors"):
            if path.stem not in used:
                path.unlink()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the folder itself: a lock file would end up among the committed files."""
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)


def entry_to_json(entry: Entry) -> dict[str, Any]:
    return {
        "leaves": leaves_to_json(entry.leaves),
        "environment": entry.environment,
        "tensors": entry.tensors,
    }


def _entry_from_json(document: Mapping[str, Any]) -> Entry:
    return Entry(
        leaves_from_json(document["leaves"]), dict(document["environment"]), document["tensors"]
    )
