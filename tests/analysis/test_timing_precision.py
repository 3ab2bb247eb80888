"""How many blocks a study's cells need, decided from its first ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from harness.analysis.study_data import CellData, StudyData
from harness.analysis.timing_precision import decide_blocks
from harness.core.record import RunRecord

Timing = Callable[..., RunRecord]


def made_up_study(timing: Timing, wobble: float, blocks: int = 6) -> StudyData:
    """A baseline, its twin and a cell in the same processes, whose ratio alternates by block."""

    def runs(name: str, wobble: float = 0.0) -> list[RunRecord]:
        made = [timing(n, 0.01 * (1 + wobble * (-1) ** n)) for n in range(1, blocks + 1)]
        return [
            dataclasses.replace(run, run_id=f"block{number}/{name}")
            for number, run in enumerate(made, 1)
        ]

    cell = runs("seed")[0].spec.cell
    seed = CellData("seed", cell, "baseline", "seed", None, first_blocks=6)
    full = CellData("full", cell, "asked", "seed", None, first_blocks=6)
    cells = [
        dataclasses.replace(seed, timings=runs("seed"), twins=runs("seed-twin")),
        dataclasses.replace(full, timings=runs("full", wobble)),
    ]
    request = {"timing": {"precision": 0.05}}
    return StudyData("s", {"request": request}, cells, [], 0)


def test_a_quiet_baseline_needs_no_more_blocks(timing: Timing) -> None:
    """With ratios within 1 %, the six first blocks suffice for ±5 %."""
    assert decide_blocks(made_up_study(timing, 0.01)) == {"seed": 6, "full": 6}


def test_scatter_asks_for_as_many_blocks_as_the_noisiest_cell_needs(timing: Timing) -> None:
    """Ratios that scatter by 10 % (sd 11 %) need (2.57 · 0.11 / ln 1.05)² blocks, over thirty."""
    decided = decide_blocks(made_up_study(timing, 0.10))
    assert decided["seed"] == decided["full"]
    assert 30 < decided["full"] < 40


def test_nothing_is_decided_before_the_first_blocks_are_timed(timing: Timing) -> None:
    """A baseline of which a block failed is left open."""
    assert decide_blocks(made_up_study(timing, 0.01, blocks=5)) == {}


@pytest.mark.parametrize("wobble", [0.01, 0.5])
def test_cells_of_other_processes_do_not_decide(timing: Timing, wobble: float) -> None:
    """Processes differ so much that no affordable number of blocks would make them precise."""
    study = made_up_study(timing, wobble)
    full = study.by_id("full")
    for number, run in enumerate(full.timings):
        full.timings[number] = dataclasses.replace(run, run_id=f"alone{number}")
    assert decide_blocks(study) == {"seed": 6, "full": 6}
