"""Two races that show in one of a hundred processes or fewer: `python rare.py NAME CELL`.

Prints for each of many processes, which are forks of this one, whether its result is the usual one.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable

import torch

from harness.core.spec import Cell
from harness.factors.catalog import inside

CHUNK = 20_000  # numbers that each of two OpenMP threads writes: some 20 µs
ROUNDS = 90_000  # of each Python thread: nearly the 5 ms after which Python switches
MOST = 20_000  # processes


def write_twice() -> bool:
    """The last number of one OpenMP thread and the first of another go to one place.

    The first one comes last unless the other thread is late by as long as the whole chunk takes.
    """
    torch.set_num_threads(2)
    index = torch.arange(2 * CHUNK)
    index[CHUNK] = CHUNK - 1
    written = torch.zeros(2 * CHUNK).index_put_((index,), torch.arange(2.0 * CHUNK))
    return written[CHUNK - 1].item() == CHUNK - 1


def share() -> bool:
    """Two Python threads append to one list, each its own numbers."""
    shared: list[int] = []

    def append(number: int) -> None:
        for _ in range(ROUNDS):
            shared.append(number)  # noqa: PERF401 - one by one, to be interrupted

    threads = [threading.Thread(target=append, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return shared == sorted(shared)


RACES: dict[str, Callable[[], bool]] = {"openmp": write_twice, "python": share}


def in_a_fork(race: Callable[[], bool]) -> bool:
    child = os.fork()
    if child == 0:
        os._exit(0 if race() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def main() -> None:
    name, cell = sys.argv[1:]
    with inside(Cell.from_json(json.loads(cell))):
        for _ in range(MOST):
            print("usual" if in_a_fork(RACES[name]) else "other", flush=True)


if __name__ == "__main__":
    main()
