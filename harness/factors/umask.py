"""The permissions of new files."""

from __future__ import annotations

import re
from pathlib import Path

from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, prefix

MASKS = ("077", "022")


def _levels(_: Cell) -> list[Level]:
    mask = next(mask for mask in MASKS if int(mask, 8) != int(_read() or "0", 8))
    start = prefix("sh", "-c", f'umask {mask}; exec "$0" "$@"')
    return [Level(mask, f"the umask {mask}", start=start)]


def _read() -> str:
    """From the kernel: os.umask can only read it by changing it."""
    status = Path("/proc/self/status").read_text()
    found = re.search(r"^Umask:\s*(\d+)", status, re.MULTILINE)
    return found[1] if found else ""


UMASK = Factor("umask", "umask", Group.surroundings, _levels, _read)
