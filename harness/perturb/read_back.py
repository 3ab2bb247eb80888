"""Whether the levels of factors changed anything, as one run with them reads back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.core.record import RunRecord
from harness.factors.catalog import FACTORS, UNREADABLE
from harness.perturb.comparison import result_of


@dataclass(frozen=True)
class ReadBack:
    """``unperturbed`` are a few runs, one of which completed."""

    unperturbed: Sequence[RunRecord]

    @cached_property
    def usual(self) -> RunRecord:
        return next(run for run in self.unperturbed if run.outcome.completed)

    def tells_of_each(self, words: Collection[str], run: RunRecord) -> bool:
        """Whether a run of several levels shows of each whether it changes something.

        A run that crashed may have ended before the program sets what is read back. A level that
        seems to have no effect may be the one that matters, if the program undoes it at its end.
        """
        if not run.outcome.completed or run.threads != self.usual.threads:
            return False
        return not self._differs(run) or all(self._is_in_effect(word, run) for word in words)

    def why_unvaried(self, word: str, run: RunRecord) -> str:
        """Why a level is left out, or an empty string."""
        name = factor_of(word)
        if not run.outcome.completed:  # a result to compare, as any other
            return ""
        if not self._is_in_effect(word, run) and not self._differs(run):
            return f"it has no effect here ({run.conditions[name]})"
        if FACTORS[name].keeps_threads and run.threads != self.usual.threads:
            return f"it would also change the number of threads ({run.threads})"
        return ""

    def _is_in_effect(self, word: str, run: RunRecord) -> bool:
        """At the end of the run."""
        name = factor_of(word)
        return run.conditions[name] not in (self.usual.conditions[name], UNREADABLE)

    def _differs(self, run: RunRecord) -> bool:
        """Whether its result does; among unperturbed runs that differ, that would tell nothing."""
        results = {*map(result_of, self.unperturbed)}
        return len(results) == 1 and result_of(run) not in results


def factor_of(word: str) -> str:
    """The name in FACTOR:LEVEL."""
    return word.partition(":")[0]
