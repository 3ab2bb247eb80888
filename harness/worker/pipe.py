"""The worker's end of its two pipes to the parent: one line of JSON in, words out.

Standard input and output belong to the training, which may print what it likes and reads from
/dev/null.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import TextIO


class ParentPipe:
    """Takes over standard input; ``replies`` is the descriptor of the pipe to the parent."""

    def __init__(self, replies: int) -> None:
        die_with_parent()
        self.incoming: TextIO = os.fdopen(os.dup(0), encoding="utf-8")
        self.outgoing: TextIO = os.fdopen(replies, "w", encoding="utf-8")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        for pipe in (self.incoming, self.outgoing):
            os.set_inheritable(pipe.fileno(), False)

    def keep_open(self) -> int:
        """The descriptor for replies, for the program that will replace this one."""
        os.set_inheritable(self.outgoing.fileno(), True)
        return self.outgoing.fileno()

    def receive(self) -> str:
        """The parent's next line; exits if the parent has closed the pipe."""
        line = self.incoming.readline()
        if not line:
            sys.exit(0)
        return line.rstrip("\n")

    def send(self, word: str) -> None:
        self.outgoing.write(f"{word}\n")
        self.outgoing.flush()


def die_with_parent() -> None:
    """Asks Linux to kill this process when its parent dies (prctl(2)), so that no orphan computes
    beside a resumed study.
    """
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
