"""A factor: something that a training should not depend on, varied on purpose.

A factor imports no library that has to be installed: what it changes inside a process, such as
torch's DataLoader, it finds among the modules that are loaded there.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from harness.core.spec import Cell

TRY_LIMIT_S = 10.0


class Group(StrEnum):
    """Factors that are varied together. None hides what another one of its group does."""

    surroundings = "surroundings"  # of the process
    schedule = "schedule"  # which thread comes first
    data = "data"  # how batches are made
    alone = "alone"  # decides how results are computed, and would hide what others do
    seeds = "seeds"  # what a training should depend on, each alone


@dataclass(frozen=True)
class Start:
    """What is different about how a process is started."""

    prefix: tuple[str, ...] = ()  # words before its command
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Level:
    """One way to vary a factor."""

    name: str
    what: str  # as in "runs with ..."
    start: Callable[[], AbstractContextManager[Start]] = lambda: nullcontext(Start())
    beside: Callable[[], AbstractContextManager[None]] = nullcontext  # in the parent, in training
    inside: Callable[[], AbstractContextManager[None]] = nullcontext  # in the process, in training
    switches: Mapping[str, Any] = field(default_factory=dict)  # of the setting


@dataclass(frozen=True)
class Factor:
    """``levels`` takes the unperturbed cell and returns the ways to vary the factor here.

    ``read`` is called in the process of a run, before the training is torn down, and returns what
    is in effect. ``missing`` returns why the factor cannot be varied here, or an empty string.
    """

    name: str
    title: str  # in tables and sentences: "CPU affinity"
    group: Group
    levels: Callable[[Cell], list[Level]]
    read: Callable[[], str]
    missing: Callable[[Cell], str] = lambda _: ""
    keeps_threads: bool = True  # else their number is what it varies


def variables(**values: str) -> Callable[[], AbstractContextManager[Start]]:
    """Start the process with these environment variables."""
    return lambda: nullcontext(Start(variables=values))


def prefix(*words: str) -> Callable[[], AbstractContextManager[Start]]:
    """Start the process with these words before its command."""
    return lambda: nullcontext(Start(prefix=words))


def refusal(*words: str, package: str) -> str:
    """Why a command that takes another command as its last words does not work here, or ""."""
    if shutil.which(words[0]) is None:
        return f"the program {words[0]} is not installed (Debian: package {package})"
    try:
        tried = subprocess.run(
            [*words, sys.executable, "-S", "-c", ""],
            capture_output=True,
            timeout=TRY_LIMIT_S,
            check=False,
            text=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{words[0]} does not run: {error}"
    if tried.returncode == 0:
        return ""
    lines = tried.stderr.strip().split("\n")
    return lines[-1] or f"{words[0]} ends with status {tried.returncode}"


def without_torch(cell: Cell) -> str:
    """Why what only torch uses cannot be varied, or ""."""
    return "Keras computes with TensorFlow" if cell.scenario.framework == "keras" else ""


def loaded(module: str) -> Any:
    """Return a module of a library that this process has imported, or None.

    The module itself may not be imported yet: numpy.random is when it is first used.
    """
    is_there = module.partition(".")[0] in sys.modules
    return importlib.import_module(module) if is_there else None
