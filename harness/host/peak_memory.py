"""Peak memory of the current process."""

from __future__ import annotations

import resource
import sys


def peak_resident_mb() -> float:
    """The process's peak resident set size so far, in MiB (getrusage)."""
    unit = 1 if sys.platform == "darwin" else 1024  # macOS reports bytes, Linux kibibytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
