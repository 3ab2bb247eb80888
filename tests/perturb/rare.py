"""Two races that show in about one of a hundred processes, or fewer: `python rare.py NAME NUMBER`.

Prints a result of each of NUMBER processes, which are forks of this one.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable

import torch

CHUNK = 20_000  # numbers that each of two OpenMP threads writes: some 20 µs
ROUNDS = 90_000  # of each Python thread: nearly the 5 ms after which Python switches


def write_twice() -> object:
    """The last number of one OpenMP thread and the first of another go to one place.

    The first one comes last unless the other thread is late by as long as the whole chunk takes.
    """
    torch.set_num_threads(2)
    index = torch.arange(2 * CHUNK)
    index[CHUNK] = CHUNK - 1
    written = torch.zeros(2 * CHUNK).index_put_((index,), torch.arange(2.0 * CHUNK))
    return written[CHUNK - 1].item()


def share() -> object:
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


RACES: dict[str, Callable[[], object]] = {"openmp": write_twice, "python": share}


def in_a_fork(race: Callable[[], object]) -> str:
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writes, repr(race()).encode())
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as result:
        found = result.read()
    os.waitpid(child, 0)
    return found


def main() -> None:
    name, number = sys.argv[1:]
    for _ in range(int(number)):
        print(in_a_fork(RACES[name]), flush=True)


if __name__ == "__main__":
    main()
