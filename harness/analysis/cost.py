"""Cost of a setting: ratios paired by block, with a Student's t interval.

Steps are never pooled: since step times differ between processes, a pooled t-test over steps calls
identical code different in most studies. A bootstrap over few blocks is too narrow. Student's t on
the logarithms of block ratios errs in about 5 % of studies for any number of blocks.
tests/analysis/test_cost.py shows all three by simulation.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.special import stdtrit

from harness.analysis.study_data import is_timed
from harness.core.record import RunRecord

LEVEL = 0.95
EQUAL_WITHIN = 0.05  # costs count as equal if the interval lies inside ±5 %
TWIN_WITHIN = 0.10  # a twin passes if its interval lies inside ±10 %: the machine is quiet enough
POWER = 0.80  # for the smallest detectable cost (the convention of Cohen 1988)


@dataclass(frozen=True)
class Ratio:
    """A ratio of two times with its interval; ``log_sd`` is the sd over blocks of ln(ratio)."""

    point: float
    low: float
    high: float
    blocks: int
    log_sd: float  # of the first stage, if there is one
    freedom: int  # degrees of freedom of log_sd

    def excludes_one(self) -> bool:
        return self.low > 1 or self.high < 1

    def within(self, margin: float) -> bool:
        return 1 - margin <= self.low and self.high <= 1 + margin

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2

    def uncertainty(self, decimals: int) -> str:
        """The half width as a percentage; beyond 100 % its size says nothing more."""
        return (
            f"± {self.half_width:.{decimals}%}".replace("%", " %")
            if self.half_width <= 1
            else "> ±100 %"
        )


def step_s(run: RunRecord) -> float:
    """Return the seconds per counted step of a timing run, including batch fetching."""
    assert run.timed is not None
    return run.timed.counted_s / run.timed.counted_steps


def by_block(runs: Sequence[RunRecord]) -> dict[int, float]:
    """Return seconds per step by block, without contended and untimed runs."""
    return {run.spec.number: step_s(run) for run in runs if is_timed(run)}


def pool_arms(*arms: Mapping[int, float]) -> dict[int, float]:
    """Return the geometric mean over the arms that were timed in a block, by block."""
    blocks = sorted({block for arm in arms for block in arm})
    return {
        block: math.exp(float(np.mean([math.log(arm[block]) for arm in arms if block in arm])))
        for block in blocks
    }


def paired_ratio(
    cell: Mapping[int, float],
    baseline: Mapping[int, float],
    level: float = LEVEL,
    first: int | None = None,
) -> Ratio | None:
    """Return exp(mean of ln(t_cell / t_baseline)) over common blocks, with its t interval.

    If the scatter in the ``first`` blocks decided how many there are, it must give the interval as
    well: Stein's two-stage procedure (1945), whose coverage is exact for normal logarithms.
    Returns None with fewer than two common blocks: an interval needs at least two.
    """
    common = sorted(cell.keys() & baseline.keys())
    logs = np.log([cell[block] / baseline[block] for block in common])
    stage = logs[: sum(first is None or block <= first for block in common)]
    if len(stage) < 2:
        return None
    mean, sd, freedom = float(logs.mean()), float(stage.std(ddof=1)), len(stage) - 1
    reach = float(stdtrit(freedom, (1 + level) / 2)) * sd / math.sqrt(len(logs))
    return Ratio(
        point=math.exp(mean),
        low=math.exp(mean - reach),
        high=math.exp(mean + reach),
        blocks=len(common),
        log_sd=sd,
        freedom=freedom,
    )


def blocks_needed(ratio: Ratio, precision: float) -> int:
    """Return how many blocks give a 95 % interval within ±``precision`` (Stein 1945).

    Decided by the scatter in the first stage alone, however many blocks there are by now.
    """
    reach = float(stdtrit(ratio.freedom, (1 + LEVEL) / 2)) * ratio.log_sd
    return max(ratio.freedom + 1, math.ceil((reach / math.log1p(precision)) ** 2))


def cost_label(ratio: Ratio | None, together: Ratio | None, twin: Ratio | None) -> str:
    """Label a cost by its interval.

    A difference counts only if the interval that holds for all costs of the study together excludes
    1: of 50 equal cells, some 95 % interval nearly always does. It must also lie outside the twin's
    interval.
    """
    if ratio is None or together is None:
        return ""
    beyond_twin = twin is None or not twin.low <= ratio.point <= twin.high
    if together.excludes_one() and beyond_twin:
        return "slower" if ratio.point > 1 else "faster"
    if ratio.within(EQUAL_WITHIN):
        return f"within ±{EQUAL_WITHIN:.0%}".replace("%", " %")
    return f"cannot tell ({together.uncertainty(decimals=1)})"


class TwinCheck(StrEnum):
    passed = "passed"
    failed = "failed"
    inconclusive = "inconclusive"


def check_twin(simultaneous: Ratio) -> TwinCheck:
    """Fail if identical code was found different; pass if a 10 % difference would have shown."""
    if simultaneous.excludes_one():
        return TwinCheck.failed
    return TwinCheck.passed if simultaneous.within(TWIN_WITHIN) else TwinCheck.inconclusive


def simultaneous_level(intervals: int) -> float:
    """Return the level of each interval so that all hold at 95 % together (Bonferroni)."""
    return 1 - (1 - LEVEL) / max(1, intervals)


def smallest_detectable(twin: Ratio, costs: int) -> float:
    """Return the relative cost that is labeled ``slower`` with 80 % power, among so many costs.

    It is the minimum detectable effect (Bloom 1995) of the stricter condition of ``cost_label``.
    The ratio of a twin has the noise of two arms. That of a cost has that of one and a half, since
    its baseline is the mean of two: its standard error is √0.75 of the twin's, and that of its
    distance from the twin's ratio √1.75.
    """
    freedom, error = twin.freedom, twin.log_sd / math.sqrt(twin.blocks)
    own, power = stdtrit(freedom, [(1 + simultaneous_level(costs)) / 2, POWER])
    excludes_one = (own + power) * math.sqrt(0.75)
    leaves_twin = stdtrit(freedom, (1 + LEVEL) / 2) + power * math.sqrt(1.75)
    return math.expm1(float(max(excludes_one, leaves_twin)) * error)
