"""The messages a worker sends to its parent, one per line."""

from __future__ import annotations

READY = "ready"  # everything is imported; waiting to be released
DONE = "done"  # the record is written
UNWRITTEN = "unwritten"  # the record could not be written; the reason follows

# Prefix of a script's private folder; the id of the process that made it follows.
COPY_PREFIX = "harness-script-"
