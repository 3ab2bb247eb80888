"""How a parent starts a worker, and the messages that it gets from it, one per line."""

from __future__ import annotations

import sys

READY = "ready"  # all imports are done; waiting to be released
DONE = "done"  # the record is written
UNWRITTEN = "unwritten"  # the record could not be written; the reason follows

# Prefix of a script's sandbox folder, followed by the id of the process that created it.
COPY_PREFIX = "harness-script-"

# Where TorchInductor and Triton keep what they have compiled and tuned; by default all processes of
# a user share one folder, so that the first run would compile and the others would not.
COMPILE_CACHES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")


def module_command(module: str, *words: str) -> list[str]:
    """``python -m module``, without the working directory on the module path.

    A project may have a package of its own named ``harness``; -P keeps it from shadowing ours.
    """
    return [sys.executable, "-P", "-X", "faulthandler", "-m", module, *words]
