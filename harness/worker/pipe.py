"""The worker's side of the process wall: one line in, words out, on pipes of its own.

Standard input and output belong to the training: it may read from nothing and print what it likes.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import TextIO


class ParentPipe:
    """Private copies of the two pipes; ``reply`` is the number of the inherited one."""

    def __init__(self, reply: int) -> None:
        die_with_parent()
        self.incoming: TextIO = os.fdopen(os.dup(0), encoding="utf-8")
        self.outgoing: TextIO = os.fdopen(reply, "w", encoding="utf-8")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        for pipe in (self.incoming, self.outgoing):
            os.set_inheritable(pipe.fileno(), False)

    def receive(self) -> str:
        """The parent's next line; ends the process where the parent has gone."""
        line = self.incoming.readline()
        if not line:
            sys.exit(0)
        return line.rstrip("\n")

    def send(self, word: str) -> None:
        self.outgoing.write(f"{word}\n")
        self.outgoing.flush()


def die_with_parent() -> None:
    """On Linux the kernel kills an orphan: `resume` never measures beside one (prctl(2))."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
