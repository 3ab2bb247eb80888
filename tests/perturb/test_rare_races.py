"""Factors that reorder threads show a rare race in far fewer processes than repetition does."""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from harness.core.spec import Cell
from harness.core.spec_json import to_json
from harness.factors.catalog import FACTORS, beside, perturb, started
from harness.factors.factor import Group
from harness.study.child_process import environment
from tests.conftest import ROOT

MakeCell = Callable[..., Cell]
RARE = Path(__file__).with_name("rare.py")
TRIES = 20
LESS = 10  # times fewer processes


def results(race: str, cell: Cell) -> Iterator[str]:
    """What each process of the race prints, started as a run of the cell is."""
    with ExitStack() as stack:
        how = started(cell, {}, stack)
        variables = {"OMP_NUM_THREADS": "2", "PYTHONPATH": str(ROOT), **how.variables}
        process = stack.enter_context(
            subprocess.Popen(
                [*how.prefix, sys.executable, str(RARE), race, json.dumps(to_json(cell))],
                env=environment(variables),
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(process.kill)
        stack.enter_context(beside(cell))
        assert process.stdout is not None
        yield from process.stdout


def waits(found: Iterable[str]) -> Iterator[int]:
    """The number of processes until each one whose result is not the usual one."""
    number = 0
    for word in found:
        number += 1
        if word.strip() == "other":
            yield number
            number = 0


@pytest.mark.long
@pytest.mark.parametrize("race", ["openmp", "python"])
def test_a_rare_race_shows_ten_times_sooner(race: str, make_cell: MakeCell) -> None:
    """In the median of twenty tries, by all factors of the schedule together."""
    untouched = make_cell(perturbed=())
    schedule = [one for one in FACTORS.values() if one.group is Group.schedule]
    words = [f"{one.name}:{one.levels(untouched)[0].name}" for one in schedule]
    medians = {}
    for cell in (untouched, perturb(untouched, words)):
        with closing(results(race, cell)) as found:
            numbers = [*itertools.islice(waits(found), TRIES)]
        assert len(numbers) == TRIES
        medians[cell.perturbed] = statistics.median(numbers)
        print(f"{race} {cell.perturbed}: {numbers}")
    plain, stressed = medians.values()
    assert plain >= LESS * stressed
