"""Libraries of the harness that the dynamic linker loads before a program."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

COMPILERS = ("cc", "gcc", "clang")


@cache
def _compiler() -> str | None:
    return next(filter(None, map(shutil.which, COMPILERS)), None)


@cache
def compiled(name: str) -> str:
    """Return the path of the library compiled from NAME.c, or "" if there is no compiler.

    It is in memory of this process, so that nothing is left behind if it is killed.

    Raises subprocess.CalledProcessError.
    """
    compiler = _compiler()
    if compiler is None:
        return ""
    source = Path(__file__).parent / f"{name}.c"
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "library.so"
        command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(built), str(source), "-ldl"]
        subprocess.run(command, check=True, capture_output=True)
        memory = os.memfd_create(f"harness-{name}")
        os.write(memory, built.read_bytes())
    return f"/proc/{os.getpid()}/fd/{memory}"


def why_not_compiled(name: str) -> str:
    """Why there is no such library, or an empty string."""
    if _compiler() is None:
        return "there is no C compiler"
    try:
        compiled(name)
    except (OSError, subprocess.CalledProcessError) as error:
        return f"{name}.c cannot be compiled: {error}"
    return ""
