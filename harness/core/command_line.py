"""Commands as they are shown to people: ready to be pasted into a shell."""

from __future__ import annotations

import shlex
from collections.abc import Sequence


def command(words: Sequence[str]) -> str:
    """The shell command for the words that follow `python -m harness`."""
    return f"python -m harness {shlex.join(words)}".strip()
