"""Perturbed runs beside unperturbed ones: do their results differ, and where first?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from harness.core.record import Outcome, RunRecord
from harness.core.steps import COMPONENTS, first_difference
from harness.core.verdict import END, START, outcome_key
from harness.perturb.exact_test import p_value

FALSE_ALARMS = 0.05  # accepted probability that any factor without effect, seeds aside, is named
PROMISING = 0.2  # a p-value above which more runs would hardly decide


class Finding(StrEnum):
    depends = "depends"
    independent = "no dependence seen"
    undecided = "undecided"  # more runs may tell
    inconclusive = "inconclusive"  # no two runs agree, or a run did not finish


@dataclass(frozen=True)
class Comparison:
    """``perturbed`` and ``untouched`` are runs of one training each.

    Runs that were ended from outside, as by a time limit, have no result.
    """

    untouched: Sequence[RunRecord]
    perturbed: Sequence[RunRecord]
    level: float  # of the test
    is_first_look: bool = True

    @cached_property
    def results(self) -> tuple[list[Hashable], list[Hashable]]:
        """Those of unperturbed and of perturbed runs."""
        untouched, perturbed = (
            [result_of(run) for run in runs if _has_result(run)]
            for runs in (self.untouched, self.perturbed)
        )
        return untouched, perturbed

    @cached_property
    def usual(self) -> Hashable:
        ((usual, _),) = Counter(self.results[0]).most_common(1)
        return usual

    @property
    def differing(self) -> int:
        """Perturbed runs without the most frequent result of the unperturbed ones."""
        return sum(result != self.usual for result in self.results[1])

    @property
    def own_differing(self) -> int:
        """Unperturbed runs without it."""
        return sum(result != self.usual for result in self.results[0])

    @property
    def agreeing(self) -> int:
        """Perturbed runs with the most frequent result among them."""
        return max(Counter(self.results[1]).values(), default=0)

    @cached_property
    def p(self) -> float:
        return p_value(*self.results)

    @property
    def is_steady(self) -> bool:
        """Whether all unperturbed runs agree."""
        return len(set(self.results[0])) == 1

    @property
    def is_promising(self) -> bool:
        return self.p <= PROMISING

    @property
    def finding(self) -> Finding:
        untouched, perturbed = self.results
        if len(perturbed) < len(self.perturbed):
            return Finding.inconclusive
        if self.is_steady and not self.differing:
            return Finding.independent
        if self.p <= self.level:
            return Finding.depends
        if len(set(untouched)) == len(untouched):
            return Finding.inconclusive
        if not (self.is_steady or self.is_promising or self.is_first_look):
            return Finding.independent
        return Finding.undecided

    def first_steps(self) -> dict[str, int]:
        """Return the first step at which each component differs, by its name."""
        usual = next(run for run in self.untouched if result_of(run) == self.usual)
        different = (run for run in self.perturbed if result_of(run) != self.usual)
        other = next(filter(_has_result, different), None)
        if other is None or not (usual.repeats and other.repeats):
            return {}
        a, b = usual.repeats[0], other.repeats[0]
        steps = {
            name: index + 1
            for name in COMPONENTS
            if (index := first_difference(a.steps.column(name), b.steps.column(name))) is not None
        }
        if a.initial != b.initial:
            steps[START] = 0
        if a.final != b.final or len(a.steps) != len(b.steps):
            steps[END] = min(len(a.steps), len(b.steps))
        return steps


def _has_result(run: RunRecord) -> bool:
    ends = (Outcome.crashed, Outcome.refused)
    return bool(run.repeats) or run.outcome in ends


def result_of(run: RunRecord) -> Hashable:
    """Return what is compared: the bits of the training, or how it failed."""
    return outcome_key(run.repeats[0]) if run.repeats else (str(run.outcome), run.reason)
