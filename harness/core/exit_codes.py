"""Exit statuses of `python -m harness`, and of the programs that it starts."""

from __future__ import annotations

DONE = 0
FAILED = 1  # a control failed, a requirement does not hold, a replay differs
BAD_REQUEST = 2  # nothing was created
RUNS_FAILED = 3  # some runs failed, or the study stopped; what was measured is kept
INTERRUPTED = 130

# Of harness.report and harness.check. Python itself ends with 1 on an uncaught exception, so a
# finding needs a status of its own.
FINDING = 10
