"""Separation of Hydra's flags from overrides on the command line."""

from __future__ import annotations

from collections.abc import Sequence

VALUE_FLAGS = (
    "--config-dir",
    "-cd",
    "--config-name",
    "-cn",
    "--config-path",
    "-cp",
    "--cfg",
    "-c",
    "--package",
    "-p",
    "--info",
    "-i",
)


def split_flags(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return flags with their values, and overrides: argparse rejects ``a=1,2 -m b=2``."""
    flags: list[str] = []
    overrides: list[str] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            overrides.append(word)
            continue
        flags.append(word)
        if word in VALUE_FLAGS:
            flags.extend(value for value in [next(rest, None)] if value is not None)
    return flags, overrides


def pop_cfg_job(flags: list[str]) -> bool:
    """Remove ``--cfg job``, which Hydra rejects next to ``-m``; return whether it was present."""
    for flag in ("--cfg", "-c"):
        if flag in flags and flags[flags.index(flag) + 1 :][:1] == ["job"]:
            position = flags.index(flag)
            del flags[position : position + 2]
            return True
    return False
