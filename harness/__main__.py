"""python -m harness: a verb, or Hydra overrides that make a study."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

NOT_INSTALLED = (
    "this Python lacks the harness's packages: open a shell with `make shell`, "
    "or start it as .venv/bin/python -m harness (`make bench` sets .venv up)"
)


def main(words: Sequence[str]) -> int:
    if importlib.util.find_spec("hydra") is None:
        print(NOT_INSTALLED, file=sys.stderr)
        return 2
    from harness import cli  # noqa: PLC0415 - needs the packages
    from harness.core.errors import ReportError, UsageError  # noqa: PLC0415
    from harness.core.exit_codes import BAD_REQUEST, INTERRUPTED, RUNS_FAILED  # noqa: PLC0415

    is_verb = bool(words) and words[0].isalpha()  # overrides have a `=`, flags a dash
    try:
        return cli.run_verb(words) if is_verb else cli.study(words)
    except ReportError as error:
        print(f"harness: {error}", file=sys.stderr)
        return RUNS_FAILED
    except KeyboardInterrupt:  # before the first run or in the report: nothing is under way
        return INTERRUPTED
    except UsageError as error:
        if str(error):
            print(f"harness: {error}", file=sys.stderr)
        return BAD_REQUEST


def entry() -> int:
    """The console script `determinism-harness`."""
    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(entry())
