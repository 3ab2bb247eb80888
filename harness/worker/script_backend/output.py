"""What a script prints: the part of this run's log that it wrote, and its digest."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from harness.worker.hashing import Part, hash_parts

LOG = Path("/proc/self/fd/1")  # standard output and standard error go to one file


@contextmanager
def own_streams() -> Iterator[None]:
    """Give a script the standard streams to replace or close, and restore them afterwards."""
    before = sys.stdout, sys.stderr
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # a stream of the script's own, which may be anything
                stream.flush()
        sys.stdout, sys.stderr = _open(before[0], 1), _open(before[1], 2)


def _open(stream: TextIO, descriptor: int) -> TextIO:
    """The stream, or another one for the descriptor if the script has closed it."""
    return open(descriptor, "w", buffering=1, closefd=False) if stream.closed else stream


def log_size() -> int:
    """Return the bytes printed so far; 0 if the output does not go to a file."""
    sys.stdout.flush()
    status = os.fstat(1)
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def digest_since(start: int, folder: Path) -> str:
    """Return the digest of what was printed after ``start`` bytes; "" if it was nothing.

    The path of ``folder``, which changes with every run, does not count.
    """
    if log_size() <= start or not LOG.exists():
        return ""
    with LOG.open("rb") as log:
        log.seek(start)
        data = log.read().replace(bytes(folder), b".")
    return hash_parts([Part("printed", "torch.uint8", (len(data),), memoryview(data))])
