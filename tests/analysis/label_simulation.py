"""How often cost labels are wrong, on simulated machines whose true costs are known."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.analysis.cost import cost_label, paired_ratio, pool_arms, simultaneous_level

STUDIES = 400
CELLS = 50  # of a study, with one baseline and its twin
SPREAD = 0.01  # sd of ln(time) between processes
SLOWDOWN = 1.05
BLOCKS = (8, 20)  # of `make bench` and of `matrix=publish`

Array = npt.NDArray[np.float64]
Noise = Callable[[np.random.Generator, tuple[int, int]], Array]


def _normal(random: np.random.Generator, shape: tuple[int, int]) -> Array:
    return random.normal(0, SPREAD, shape)


def _heavy_tails(random: np.random.Generator, shape: tuple[int, int]) -> Array:
    return random.standard_t(3, shape) * SPREAD / math.sqrt(3)


def _spikes(random: np.random.Generator, shape: tuple[int, int]) -> Array:
    return _normal(random, shape) + 0.1 * (random.random(shape) < 0.05)


def _drift(random: np.random.Generator, shape: tuple[int, int]) -> Array:
    """The machine slows down by 2 % during each block, whose order is random."""
    positions = random.permuted(np.tile(np.arange(shape[0])[:, None], shape[1]), axis=0)
    return _normal(random, shape) + 0.02 * positions / shape[0]


NOISES: dict[str, Noise] = {
    "normal": _normal,
    "heavy tails (t with 3 degrees of freedom)": _heavy_tails,
    "1 run in 20 takes 10 % longer": _spikes,
    "2 % drift within a block": _drift,
}


@dataclass(frozen=True)
class Rates:
    """Shares of cells or studies, 0 to 1."""

    false_label: float  # of cells that cost as much as the baseline
    false_study: float  # of studies of CELLS such cells: at least one false label
    found: float  # of cells with SLOWDOWN: called slower
    missed: float  # of these: called faster, or within ±5 %


def measure(noise: Noise, blocks: int, seed: int = 0) -> Rates:
    equal = [_count_labels(labels) for labels in _studies(noise, blocks, 1.0, seed)]
    slowed = Counter[str]()
    for labels in _studies(noise, blocks, SLOWDOWN, seed + 1):
        slowed.update(labels[:1])
    return Rates(
        false_label=sum(equal) / (STUDIES * CELLS),
        false_study=sum(map(bool, equal)) / STUDIES,
        found=slowed["slower"] / STUDIES,
        missed=(slowed["faster"] + slowed["within ±5 %"]) / STUDIES,
    )


def _studies(noise: Noise, blocks: int, slowdown: float, seed: int) -> Iterator[list[str]]:
    """Yield the labels of all cells of each study."""
    random = np.random.default_rng(seed)
    cells = CELLS if slowdown == 1 else 1  # labeled at the level of CELLS costs in either case
    for _ in range(STUDIES):
        level = np.exp(random.normal(0, 2 * SPREAD, blocks).cumsum())
        times = 0.01 * level * np.exp(noise(random, (cells + 2, blocks)))
        times[2:] *= slowdown
        arms = [dict(enumerate(row.tolist(), 1)) for row in times]
        twin = paired_ratio(arms[1], arms[0])
        baseline = pool_arms(arms[0], arms[1])
        level = simultaneous_level(CELLS)
        yield [
            cost_label(paired_ratio(cell, baseline), paired_ratio(cell, baseline, level), twin)
            for cell in arms[2:]
        ]


def _count_labels(labels: list[str]) -> int:
    return sum(label in ("slower", "faster") for label in labels)


def rates_table() -> list[str]:
    """Return the lines of the table in docs/reliability.md."""
    headings = (
        "noise between runs (1 %)",
        "blocks",
        "equal cell called slower or faster",
        f"study of {CELLS} equal cells with such a label",
        "5 % slowdown found",
        "called within ±5 %",
    )
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    for name, noise in NOISES.items():
        for blocks in BLOCKS:
            rates = measure(noise, blocks)
            shares = (rates.false_label, rates.false_study, rates.found, rates.missed)
            cells = " | ".join(f"{100 * share:.1f} %" for share in shares)
            lines.append(f"| {name} | {blocks} | {cells} |")
    return lines
