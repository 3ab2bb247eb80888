"""Slowdowns of 1, 2 and 5 % planted in a block, timed in one process and in separate ones.

Each of the five arms (a baseline, its twin and the three plants) begins the block in every place
equally often, so an effect of the order (carry-over) would show as a bias of some places.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from math import log
from pathlib import Path

from harness.analysis.cost import Ratio, by_block, paired_ratio
from harness.core.blocks import runs_apart, split_blocks
from harness.core.record import RunRecord
from harness.core.spec import Arm, Cell, Determinism, Kind, RunSpec, Scenario
from harness.study.launcher import LocalLauncher
from harness.study.request import Launch

PROGRAM = Path(__file__).with_name("planted_work.py")
PRODUCTS = 200
PLANTS = {"1 %": 202, "2 %": 204, "5 %": 210}
ROUNDS = 4  # blocks for each place of an arm: 20 blocks


def run() -> None:
    base = cell_of("base", PRODUCTS)
    arms = [Arm(base), Arm(base, twin=True)]
    arms += [Arm(cell_of(name, products)) for name, products in PLANTS.items()]
    blocks = [
        RunSpec(base, Kind.timing, number, warmup=2, min_s=0.25, arms=rotated(arms, number))
        for number in range(1, ROUNDS * len(arms) + 1)
    ]
    together = measured(blocks)
    apart = measured([spec for block in blocks for spec in runs_apart(block)])
    for name, arm in zip(("0 % (twin)", *PLANTS), arms[1:], strict=True):
        one, many = ratio_of(together, arm), ratio_of(apart, arm)
        print(
            f"planted {name}: {100 * (one.point - 1):.2f} % ± {100 * one.half_width:.2f} in one "
            f"process (largest bias of a place {bias(together, arm, blocks):.2f} points), "
            f"{100 * (many.point - 1):.2f} % ± {100 * many.half_width:.2f} in separate ones"
        )


def cell_of(name: str, products: int) -> Cell:
    options = {"products": products, "steps": 20}
    scenario = Scenario(name, PROGRAM.stem, options, uses_loader=False, source=str(PROGRAM))
    return Cell(scenario, "seed", Determinism(seed=42), "cpu")


def rotated(arms: Sequence[Arm], number: int) -> tuple[Arm, ...]:
    first = number % len(arms)
    return (*arms[first:], *arms[:first])


def measured(specs: Sequence[RunSpec]) -> list[RunRecord]:
    with tempfile.TemporaryDirectory() as scratch:
        for part in ("runs", "logs"):
            (Path(scratch) / part).mkdir()
        launcher = LocalLauncher(Path(scratch), Launch(), lambda: None)
        return split_blocks(list(launcher.launch(specs, 0)))


def times_of(runs: Sequence[RunRecord], arm: Arm) -> dict[int, float]:
    own = [run for run in runs if (run.spec.cell, run.spec.twin) == (arm.cell, arm.twin)]
    return by_block(own)


def ratio_of(runs: Sequence[RunRecord], arm: Arm) -> Ratio:
    baseline = Arm(next(run.spec.cell for run in runs if run.spec.cell.scenario.label == "base"))
    ratio = paired_ratio(times_of(runs, arm), times_of(runs, baseline))
    assert ratio is not None
    return ratio


def bias(runs: Sequence[RunRecord], arm: Arm, blocks: Sequence[RunSpec]) -> float:
    """Largest distance of the mean ratio of one place of the arm from that of all, in points."""
    base = times_of(runs, replace(arm, cell=blocks[0].cell, twin=False))
    own = times_of(runs, arm)
    by_place: dict[int, list[float]] = {}
    for block in blocks:
        ratio = log(own[block.number] / base[block.number])
        by_place.setdefault(block.arms.index(arm), []).append(ratio)
    mean = statistics.fmean(ratio for place in by_place.values() for ratio in place)
    return 100 * max(abs(statistics.fmean(place) - mean) for place in by_place.values())
