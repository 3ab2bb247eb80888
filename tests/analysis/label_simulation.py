"""How often cost labels are wrong, on simulated machines whose true costs are known."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import numpy.typing as npt

from harness.analysis.cost import cost_label, paired_ratio, pool_arms, simultaneous_level

STUDIES = 400
BASELINES = 7  # of a study, each with its twin, as in `make bench`
COSTS = 7  # of each baseline
SPREAD = 0.01  # sd of ln(time) between processes
SLOWDOWN = 1.05
BLOCKS = (4, 8, 20)  # of `make bench`, by default, of `matrix=publish`

Array = npt.NDArray[np.float64]
Noise = Callable[[np.random.Generator, tuple[int, int]], Array]


def _normal(random: np.random.Generator, shape: tuple[int, int], spread: float = SPREAD) -> Array:
    return random.normal(0, spread, shape)


def _heavy_tails(random: np.random.Generator, shape: tuple[int, int]) -> Array:
    return random.standard_t(3, shape) * SPREAD / math.sqrt(3)


def _spikes(random: np.random.Generator, shape: tuple[int, int]) -> Array:
    return _normal(random, shape) + 0.1 * (random.random(shape) < 0.05)


def _drift(random: np.random.Generator, shape: tuple[int, int]) -> Array:
    """The machine slows down by 2 % during each block, whose order is random."""
    positions = random.permuted(np.tile(np.arange(shape[0])[:, None], shape[1]), axis=0)
    return _normal(random, shape) + 0.02 * positions / shape[0]


NOISES: dict[str, Noise] = {
    "normal, 1 %": _normal,
    "normal, 3 %": partial(_normal, spread=0.03),
    "normal, 8 %": partial(_normal, spread=0.08),
    "heavy tails (t with 3 degrees of freedom), 1 %": _heavy_tails,
    "normal, 1 %, and 1 run in 20 takes 10 % longer": _spikes,
    "normal, 1 %, and 2 % drift within a block": _drift,
}


@dataclass(frozen=True)
class Rates:
    """Shares of cells or studies, 0 to 1."""

    false_label: float  # of cells that cost as much as the baseline
    false_study: float  # of studies of such cells alone: at least one false label
    found: float  # of studies in which one cell has SLOWDOWN: it is called slower
    missed: float  # of these: it is called faster, or within ±5 %


@cache
def measure(noise: str, blocks: int) -> Rates:
    """Label STUDIES studies of equal cells, and as many with a slow one."""
    random = np.random.default_rng([blocks, list(NOISES).index(noise)])
    equal = [
        _count_labels(
            [
                label
                for _ in range(BASELINES)
                for label in _labels_of_a_baseline(random, NOISES[noise], blocks)
            ]
        )
        for _ in range(STUDIES)
    ]
    slowed = Counter(
        _labels_of_a_baseline(random, NOISES[noise], blocks, SLOWDOWN)[0] for _ in range(STUDIES)
    )
    return Rates(
        false_label=sum(equal) / (STUDIES * BASELINES * COSTS),
        false_study=sum(map(bool, equal)) / STUDIES,
        found=slowed["slower"] / STUDIES,
        missed=(slowed["faster"] + slowed["within ±5 %"]) / STUDIES,
    )


def _labels_of_a_baseline(
    random: np.random.Generator, noise: Noise, blocks: int, slowdown: float = 1.0
) -> list[str]:
    """The labels of COSTS cells, of which the first takes ``slowdown`` times as long."""
    level = np.exp(random.normal(0, 2 * SPREAD, blocks).cumsum())
    times = 0.01 * level * np.exp(noise(random, (COSTS + 2, blocks)))
    times[2] *= slowdown
    arms = [dict(enumerate(row.tolist(), 1)) for row in times]
    twin = paired_ratio(arms[1], arms[0])
    baseline = pool_arms(arms[0], arms[1])
    together = simultaneous_level(BASELINES * COSTS)
    return [
        cost_label(paired_ratio(cell, baseline), paired_ratio(cell, baseline, together), twin)
        for cell in arms[2:]
    ]


def _count_labels(labels: list[str]) -> int:
    return sum(label in ("slower", "faster") for label in labels)


def rates_table() -> list[str]:
    """Return the lines of the table in docs/reliability.md."""
    headings = (
        "noise between runs (sd)",
        "blocks",
        "equal cell called slower or faster",
        f"study of {BASELINES * COSTS} equal cells with such a label",
        "5 % slowdown of one cell found",
        "called within ±5 %",
    )
    lines = [f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    for name in NOISES:
        for blocks in BLOCKS:
            rates = measure(name, blocks)
            shares = (rates.false_label, rates.false_study, rates.found, rates.missed)
            cells = " | ".join(f"{100 * share:.1f} %" for share in shares)
            lines.append(f"| {name} | {blocks} | {cells} |")
    return lines
