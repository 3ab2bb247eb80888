"""Exit statuses of `python -m harness` and of the programs that it starts."""

from __future__ import annotations

DONE = 0
FAILED = 1  # a control failed, a requirement does not hold, or a replay differs
BAD_REQUEST = 2  # nothing was created, unless a run was needed to find out
RUNS_FAILED = 3  # some runs failed or are missing; what was measured is kept
INTERRUPTED = 130
NOT_READ = 141  # whoever read the output has ended, as `head` does

# Returned by harness.report and harness.check for a finding. Python itself exits with 1 on an
# uncaught exception, so a finding needs a distinct status.
FINDING = 10
