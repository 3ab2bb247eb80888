"""Whether the kernel places a program at random addresses, as it usually does."""

from __future__ import annotations

from pathlib import Path

from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, prefix, refusal

ADDR_NO_RANDOMIZE = 0x0040000  # of personality(2)
COMMAND = ("setarch", "--addr-no-randomize")


def _levels(_: Cell) -> list[Level]:
    return [Level("fixed", "fixed addresses", start=prefix(*COMMAND))]


def _missing(_: Cell) -> str:
    return refusal(*COMMAND, package="util-linux")


def _read() -> str:
    is_fixed = int(Path("/proc/self/personality").read_text(), 16) & ADDR_NO_RANDOMIZE
    return "fixed" if is_fixed else "random"


ADDRESS_LAYOUT = Factor(
    "address_layout", "address layout", Group.surroundings, _levels, _read, _missing
)
