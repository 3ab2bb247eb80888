"""Whether torch.compile compiles for each process, or takes what another process has compiled."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from harness.core.private_folder import make_private_folder
from harness.core.protocol import COMPILE_CACHES
from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, Start, without_torch

PREFIX = "harness-compiled-"


@cache
def _shared_folder() -> Path:
    folder = make_private_folder(PREFIX)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextmanager
def _shared() -> Iterator[Start]:
    """All runs use one folder: the first fills it."""
    yield Start(variables={name: str(_shared_folder() / name.lower()) for name in COMPILE_CACHES})


def _levels(_: Cell) -> list[Level]:
    return [Level("shared", "a shared torch.compile cache", start=_shared)]


def inductor_counters() -> Mapping[str, int]:
    """What TorchInductor has counted in this process, by name; empty if it was not used."""
    compiler = sys.modules.get("torch._dynamo.utils")  # not imported for this
    return compiler.counters["inductor"] if compiler else {}


def _read() -> str:
    if not inductor_counters():
        return "nothing is compiled"
    return "shared" if PREFIX in os.environ.get(COMPILE_CACHES[0], "") else "own"


COMPILE_CACHE = Factor(
    "compile_cache", "torch.compile cache", Group.surroundings, _levels, _read, without_torch
)
