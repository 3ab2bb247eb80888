"""Random delays of threads at the start of each parallel region, which reorder what they do."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, variables

SOURCE = Path(__file__).parent / "delays.c"
COMPILERS = ("cc", "gcc", "clang")


def _levels(_: Cell) -> list[Level]:
    start = variables(LD_PRELOAD=_library())
    return [Level("random", "random delays of threads", start=start)]


@cache
def _compiler() -> str | None:
    return next(filter(None, map(shutil.which, COMPILERS)), None)


@cache
def _library() -> str:
    """Compile into memory of this process, so that nothing is left behind if it is killed.

    Raises subprocess.CalledProcessError.
    """
    compiler = _compiler()
    if compiler is None:
        return ""
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "delays.so"
        command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(built), str(SOURCE)]
        subprocess.run(command, check=True, capture_output=True)
        memory = os.memfd_create("harness-delays")
        os.write(memory, built.read_bytes())
    return f"/proc/{os.getpid()}/fd/{memory}"


def _missing(_: Cell) -> str:
    if _compiler() is None:
        return "there is no C compiler"
    try:
        _library()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"the library that delays threads cannot be compiled: {error}"
    return ""


def _read() -> str:
    try:
        regions = ctypes.c_long.in_dll(ctypes.CDLL(None), "harness_delayed_regions").value
    except ValueError:  # not loaded
        regions = 0
    return "delays" if regions else "none"


DELAYS = Factor("delays", "thread delays", Group.schedule, _levels, _read, _missing)
