"""`python -m harness`: a command such as `list`, or Hydra overrides that describe a study."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence

NOT_INSTALLED = (
    "this Python does not have the packages that the harness needs: run it in `make shell`, "
    "or as .venv/bin/python -m harness (`make bench` creates .venv)"
)


def main(words: Sequence[str]) -> int:
    if importlib.util.find_spec("hydra") is None:
        print(NOT_INSTALLED, file=sys.stderr)
        return 2
    from harness import cli  # noqa: PLC0415 - needs the packages
    from harness.core.errors import ReportError, UsageError  # noqa: PLC0415
    from harness.core.exit_codes import BAD_REQUEST, INTERRUPTED, RUNS_FAILED  # noqa: PLC0415

    # overrides contain a `=` or start with a `~`, flags start with a dash
    is_command = bool(words) and "=" not in words[0] and words[0][:1] not in ("-", "~")
    try:
        return cli.run_verb(words) if is_command else cli.study(words)
    except ReportError as error:
        print(f"harness: {error}", file=sys.stderr)
        return RUNS_FAILED
    except KeyboardInterrupt:  # before the first run or during the report: no run is active
        return INTERRUPTED
    except UsageError as error:
        if str(error):
            print(f"harness: {error}", file=sys.stderr)
        return BAD_REQUEST


def entry() -> int:
    """Entry point of the console script `determinism-harness`."""
    from harness.core.exit_codes import NOT_READ  # noqa: PLC0415 - as those of main

    try:
        status = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes at its end
        return NOT_READ
    return status


if __name__ == "__main__":
    sys.exit(entry())
