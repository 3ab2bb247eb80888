"""The name of the machine, changed in a namespace of one process and its children."""

from __future__ import annotations

import os
import platform
from contextlib import nullcontext

from harness.core.redact import REAL_HOST
from harness.core.spec import Cell
from harness.factors.factor import Factor, Group, Level, Start, refusal

OTHER = "perturbed"
RENAME = f'echo {OTHER} > /proc/sys/kernel/hostname && exec "$0" "$@"'


def _command() -> tuple[str, ...]:
    is_root = os.geteuid() == 0
    as_root = () if is_root else ("--map-current-user", "--keep-caps")
    return ("unshare", "--uts", *as_root, "sh", "-c", RENAME)


def _levels(_: Cell) -> list[Level]:
    start = Start(_command(), {REAL_HOST: platform.node()})
    return [Level("other", "another host name", start=lambda: nullcontext(start))]


def _missing(_: Cell) -> str:
    return refusal(*_command(), package="util-linux")


def _read() -> str:
    return OTHER if platform.node() == OTHER else "the machine's"


HOST_NAME = Factor("host_name", "host name", Group.surroundings, _levels, _read, _missing)
