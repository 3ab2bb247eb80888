"""The golden file beside a test file: what its tests' values were when they were recorded.

Processes write it side by side (pytest-xdist): each takes the folder's lock, reads what is there
now, and adds its own.
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

from harness.core.leaf_file import Leaves, leaves_from_json, leaves_to_json
from harness.core.record import write_json

FOLDER = "__reproducible__"
FORMAT = 1


class BadGoldenError(Exception):
    """A golden file that is no whole one: it is neither believed nor overwritten."""


@dataclass(frozen=True)
class Entry:
    leaves: Leaves
    environment: dict[str, Any]
    tensors: str | None  # the name of the file with their elements; None above the limit


Entries = dict[str, dict[str, Entry]]  # by test, then by the value's name


class Golden:
    def __init__(self, test_file: Path) -> None:
        folder = test_file.parent / FOLDER
        self.path = folder / f"{test_file.stem}.json"
        self.tensors = folder / test_file.stem

    def entries(self) -> Entries:
        """Raises BadGoldenError where there is a file, and it cannot be read."""
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
            if document["format"] != FORMAT:
                raise BadGoldenError(
                    f"{self.path} has format {document['format']}, this version "
                    f"reads {FORMAT}: use the version that wrote it"
                )
            return {
                test: {name: _entry_of(one) for name, one in values.items()}
                for test, values in document["values"].items()
            }
        except FileNotFoundError:
            return {}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadGoldenError(
                f"{self.path} is no whole golden file ({type(error).__name__}: {error}): take it "
                "from version control again, or delete it and record with --update-golden"
            ) from error

    def tensors_file(self, name: str) -> Path:
        return self.tensors / f"{name}.safetensors"

    def record(self, test: str, new: Mapping[str, Entry], save: Callable[[], None]) -> None:
        """Adds the test's new values to what is there; ``save`` writes their tensors first.

        Tensors that no entry names any more are deleted.
        """
        self.path.parent.mkdir(exist_ok=True)
        with self._locked():
            entries = self.entries()
            save()
            entries[test] = {**entries.get(test, {}), **new}
            document = {
                test: {name: entry_to_json(one) for name, one in sorted(values.items())}
                for test, values in sorted(entries.items())
            }
            write_json(self.path, {"format": FORMAT, "values": document}, indent=1)
            self._tidy(entries)

    def _tidy(self, entries: Entries) -> None:
        used = {one.tensors for values in entries.values() for one in values.values()}
        for path in self.tensors.glob("*.safetensors"):
            if path.stem not in used:
                path.unlink()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Holds the folder itself: a lock file would lie among what is committed."""
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


def _entry_of(document: Mapping[str, Any]) -> Entry:
    return Entry(
        leaves_from_json(document["leaves"]), dict(document["environment"]), document["tensors"]
    )
