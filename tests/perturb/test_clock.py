"""A shifted clock shows another time of day, and every wait takes as long as it should."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.core.spec import Cell
from harness.factors.catalog import FACTORS
from tests.perturb.factor_process import perturbed, read

MakeCell = Callable[..., Cell]
WAITS = """
import asyncio, concurrent.futures, multiprocessing, queue, subprocess, threading, time
def waiting(wait):
    start = time.perf_counter()
    try:
        wait()
    except (TimeoutError, queue.Empty, subprocess.TimeoutExpired):
        pass
    return time.perf_counter() - start
worker = concurrent.futures.ThreadPoolExecutor(1)
waits = [
    waiting(lambda: time.sleep(0.1)),
    waiting(lambda: subprocess.run(["sleep", "60"], timeout=0.1)),
    waiting(lambda: threading.Event().wait(0.1)),
    waiting(lambda: queue.Queue().get(timeout=0.1)),
    waiting(lambda: threading.Semaphore(0).acquire(timeout=0.1)),
    waiting(lambda: multiprocessing.Semaphore(0).acquire(timeout=0.1)),
    waiting(lambda: multiprocessing.Queue().get(timeout=0.1)),
    waiting(lambda: asyncio.run(asyncio.sleep(0.1))),
    waiting(lambda: worker.submit(time.sleep, 0.5).result(timeout=0.1)),
]
assert all(0.05 < wait < 10 for wait in waits), waits
child = subprocess.run(["date", "+%s"], capture_output=True, text=True, check=True)
assert abs(int(child.stdout) - time.time()) < 10
"""


@pytest.mark.parametrize(("level", "hours"), [("ahead", 247), ("behind", -9605)])
def test_a_shifted_clock_leaves_every_wait_as_it_is(
    level: str, hours: int, make_cell: MakeCell
) -> None:
    """Also those that end at a time of day; processes that it starts have the same clock."""
    cell = make_cell(perturbed=())
    (found,) = [one for one in FACTORS["clock"].levels(cell) if one.name == level]
    assert read(perturbed(cell, "clock", found), "clock", WAITS)[0] == f"{hours} hours ahead"
