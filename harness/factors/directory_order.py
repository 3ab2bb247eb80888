"""The order in which folders list their entries, which no file system promises."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from harness.core.patch import attribute, patched
from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level

Order = Callable[[list[Any]], list[Any]]
KNOWN = Path(os.__file__).parent  # the standard library: a folder with many entries


def _reverse(entries: list[Any]) -> list[Any]:
    return sorted(entries, key=_name, reverse=True)


def _sort(entries: list[Any]) -> list[Any]:
    return sorted(entries, key=_name)


def _name(entry: Any) -> Any:
    return entry.name if isinstance(entry, os.DirEntry) else entry


class _Listing:
    """What os.scandir returns, in another order."""

    def __init__(self, entries: list[Any]) -> None:
        self.entries = iter(entries)

    def __iter__(self) -> _Listing:
        return self

    def __next__(self) -> Any:
        return next(self.entries)

    def __enter__(self) -> _Listing:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.entries = iter(())


@contextmanager
def _ordered(order: Order) -> Iterator[None]:
    """os.walk, glob and pathlib use these two; a library in C that reads folders is not reached."""

    def list_folder(original: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
        return lambda *args, **options: order(original(*args, **options))

    def scan_folder(original: Callable[..., Any]) -> Callable[..., Any]:
        def scan(*args: Any, **options: Any) -> _Listing:
            with original(*args, **options) as entries:
                return _Listing(order(list(entries)))

        return scan

    with ExitStack() as stack:
        stack.enter_context(patched(os, "listdir", list_folder))
        stack.enter_context(patched(os, "scandir", scan_folder))
        if globber := getattr(glob, "_StringGlobber", None):  # pathlib's, in Python 3.13
            stack.enter_context(attribute(globber, "scandir", staticmethod(os.scandir)))
        yield


def _levels(_: Cell) -> list[Level]:
    return [
        Level("reversed", "folders listed in reverse", inside=lambda: _ordered(_reverse)),
        Level("sorted", "folders listed in order", inside=lambda: _ordered(_sort)),
    ]


def _read() -> str:
    first = os.listdir(KNOWN)[:3]  # noqa: PTH208 - it is this function that is looked at
    return " ".join(first)


DIRECTORY_ORDER = Factor(
    "directory_order", "order of directory entries", Group.surroundings, _levels, _read
)
