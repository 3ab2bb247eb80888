"""python -m harness: one verb a word, or Hydra overrides that make a study."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

OUTSIDE = (
    "this Python lacks the harness's packages: open a shell with `make shell`, "
    "or start it as .venv/bin/python -m harness (`make bench` sets .venv up)"
)


def main(words: Sequence[str]) -> int:
    if importlib.util.find_spec("hydra") is None:
        print(OUTSIDE, file=sys.stderr)
        return 2
    from harness.errors import ReportError, UsageError  # noqa: PLC0415 - after the check for packages

    try:
        return run_verb(words) if words and is_verb(words[0]) else run_study(words)
    except ReportError as error:
        print(f"harness: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:  # before the first run or in the report: nothing is under way
        return 130
    except UsageError as error:
        if str(error):
            print(f"harness: {error}", file=sys.stderr)
        return 2


def is_verb(word: str) -> bool:
    """Plain words are verbs; what has a sign in it is Hydra's."""
    return word.isalpha()


def run_verb(words: Sequence[str]) -> int:
    from harness.verbs import VERBS, usage  # noqa: PLC0415 - only what is asked for is imported

    verb = VERBS.get(words[0])
    return verb(words[1:]) if verb else usage(words[0])


def run_study(words: Sequence[str]) -> int:
    from harness.bench import bench  # noqa: PLC0415
    from harness.config import collect  # noqa: PLC0415

    request = collect(words)
    return bench(request) if request else 0


def entry() -> int:
    """What the installed command `determinism-harness` calls."""
    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(entry())
