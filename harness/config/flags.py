"""Words of the command line that are not overrides, as Hydra needs them."""

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
    """Flags with their values, and overrides: argparse dies of ``a=1,2 -m b=2``."""
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
    """Removes ``--cfg job``, which Hydra does not allow beside ``-m``; whether it was there."""
    for flag in ("--cfg", "-c"):
        if flag in flags and flags[flags.index(flag) + 1 :][:1] == ["job"]:
            at = flags.index(flag)
            del flags[at : at + 2]
            return True
    return False
