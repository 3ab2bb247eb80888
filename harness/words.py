"""What is said: on a pipe between processes, a line each, and on the command line."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

READY = "ready"  # worker: imported, waiting for its turn
DONE = "done"  # worker: the record is written
UNWRITTEN = "unwritten"  # worker: the record could not be written, and why

COPY_PREFIX = "harness-script-"  # of a script's private folder: the maker's process comes next

# Exit statuses of programs of the telling side; 1 is any program's that raised.
A_CONTROL_FAILED = 10  # of harness.report
A_REQUIREMENT_IS_BROKEN = 10  # of harness.check


def command(words: Sequence[str]) -> str:
    """A command that can be pasted, of the words that came after `python -m harness`."""
    return f"python -m harness {shlex.join(words)}".strip()
