"""What processes say to each other: words on a pipe, a line each, and one exit status."""

from __future__ import annotations

READY = "ready"  # worker: imported, waiting for its turn
DONE = "done"  # worker: the record is written
UNWRITTEN = "unwritten"  # worker: the record could not be written, and why

A_CONTROL_FAILED = 10  # exit status of harness.report; 1 is any program's that raised
