"""Messages from a worker to its parent, one per line."""

from __future__ import annotations

READY = "ready"  # all imports are done; waiting to be released
DONE = "done"  # the record is written
UNWRITTEN = "unwritten"  # the record could not be written; the reason follows

# Prefix of a script's sandbox folder, followed by the id of the process that created it.
COPY_PREFIX = "harness-script-"
