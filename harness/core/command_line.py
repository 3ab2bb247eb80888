"""Commands in messages and reports, ready to be pasted into a shell."""

from __future__ import annotations

import shlex
from collections.abc import Sequence


def command(words: Sequence[str]) -> str:
    """Return the shell command that passes these words to `python -m harness`."""
    return f"python -m harness {shlex.join(words)}".strip()
