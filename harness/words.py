"""The words that cross the process wall, one line each."""

from __future__ import annotations

READY = "ready"  # worker: imported, waiting for its turn
DONE = "done"  # worker: the record is written
UNWRITTEN = "unwritten"  # worker: the record could not be written, and why
