"""Other programs that keep the same cores, or their memory, busy while the training runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from harness.core.cores import usable_cores
from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level

NAME = "harness-neighbor"  # the last word of their command, by which a run sees them
# Each ends by itself when its parent does: it then gets another parent. It works all the time at
# first, then only at times, since threads that wait for one another may take ten times as long.
BURNER = """
import os, time
block = bytearray({size})
start = time.monotonic()
while os.getppid() == {parent}:
    passed = time.monotonic() - start
    if passed > {whole_s} and passed % {period_s} > {busy_s}:
        time.sleep(0.02)
        continue
    for _ in range({times}):
        copy = bytes(block)
"""
RHYTHM = {"whole_s": 3, "period_s": 5, "busy_s": 1}
SIZES = {"cpu": (64, 100_000), "memory": (32 * 2**20, 1)}  # bytes to copy, copies between checks


@contextmanager
def _neighbors(kind: str) -> Iterator[None]:
    size, times = SIZES[kind]
    code = BURNER.format(size=size, times=times, parent=os.getpid(), **RHYTHM)
    with ExitStack() as stack:
        for _ in usable_cores():
            burner = subprocess.Popen(
                [sys.executable, "-S", "-E", "-c", code, NAME],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # or Ctrl-C would reach it
            )
            stack.callback(burner.wait)
            stack.callback(burner.kill)
        yield


def _levels(_: Cell) -> list[Level]:
    return [
        Level(kind, f"other processes that load the {word}", beside=partial(_neighbors, kind))
        for kind, word in (("cpu", "cores"), ("memory", "memory"))
    ]


def _read() -> str:
    return f"{sum(map(_is_neighbor, Path('/proc').glob('[0-9]*')))} neighbors"


def _is_neighbor(process: Path) -> bool:
    try:
        return (process / "cmdline").read_bytes().rstrip(b"\0").endswith(NAME.encode())
    except OSError:  # it has ended
        return False


LOAD = Factor("load", "load from other processes", Group.schedule, _levels, _read)
