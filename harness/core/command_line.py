"""Commands in messages and reports, ready to be pasted into a shell."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

SCRIPT = "determinism-harness"  # installed with the package


def program() -> str:
    """Return how this program was started.

    In a project with a ``harness.py`` of its own, ``python -m harness`` would start that.
    """
    return SCRIPT if Path(sys.argv[0]).name == SCRIPT else "python -m harness"


def command(words: Sequence[str]) -> str:
    """Return the shell command that passes these words to the program."""
    return f"{program()} {shlex.join(words)}".strip()


def command_for_folder(words: Sequence[str], folder: Path) -> str:
    """Return the command of these words that continues the study in ``folder``."""
    own, program_words = split_words(words)
    typed = [word for word in own if not word.startswith("study.dir=")]
    return command([*typed, override("study.dir", str(folder)), *program_words])


def override(name: str, text: str) -> str:
    """Return the override that gives an option this text, quoted if Hydra would parse it."""
    if re.fullmatch(r"[\w./-]+", text):
        return f"{name}={text}"
    quoted = text.replace("'", "\\'")
    return f"{name}='{quoted}'"


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the harness's own words, and those of a program, which begin with `--`."""
    end = [*words, "--"].index("--")
    return list(words[:end]), list(words[end:])
