"""What the evidence says of a cell. Standard library only: the asking side uses it too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.core.record import COMPONENTS, OUTCOMES, Outcome, Repeat, RunRecord


class Verdict(StrEnum):
    per_call = "varies per call"  # repeats within one process differ
    per_process = "varies per process"  # repeats agree, processes differ
    varies = "varies"  # runs differ, and only one repeat was made
    refused = "refused"
    failed = "failed"
    not_tested = "not tested"  # fewer than two completed runs
    identical = "identical"

    @property
    def differs(self) -> bool:
        return self in (Verdict.per_call, Verdict.per_process, Verdict.varies)


SEEN_WHEN_TIMED = "seen in timing runs: observer or rare divergence"
START, END = "start", "end"  # places outside the components: the initial state, the length


@dataclass(frozen=True, order=True)
class Divergence:
    """Where two trainings first differ. Step 0 is the initial state."""

    step: int
    order: int
    component: str


@dataclass(frozen=True)
class Judgement:
    verdict: Verdict
    distinct: int  # final outcome digests over the runs' first repeats
    completed: int
    first_divergence: Divergence | None
    note: str = ""


def judge(traces: Sequence[RunRecord], timings: Sequence[RunRecord] = ()) -> Judgement:
    """The verdict of one cell's trace runs, checked against the ends of its timing runs.

    Precedence: per call (one run is enough), per process, varies, refused, failed, not tested,
    identical, which needs that no run crashed, timed out or refused.
    """
    runs = [run for run in traces if run.outcome.completed and run.repeats]
    ends = {final_key(run.repeats[0].final) for run in runs}
    verdict = _decide_verdict(runs, traces, timings)
    note = ""
    if not verdict.differs:
        seen = ends | {final_key(run.timed.final) for run in timings if run.timed}
        if len(seen) > 1:
            verdict, note = Verdict.varies, SEEN_WHEN_TIMED
    return Judgement(
        verdict, len(ends), len(runs), _earliest_divergence(runs) if verdict.differs else None, note
    )


def _decide_verdict(
    runs: Sequence[RunRecord], traces: Sequence[RunRecord], timings: Sequence[RunRecord]
) -> Verdict:
    firsts = {outcome_key(run.repeats[0]) for run in runs}
    if any(len({outcome_key(one) for one in run.repeats}) > 1 for run in runs):
        return Verdict.per_call
    if len(firsts) > 1:
        repeated = all(len(run.repeats) > 1 for run in runs)
        return Verdict.per_process if repeated else Verdict.varies
    outcomes = {run.outcome for run in (*traces, *timings)}
    if Outcome.refused in outcomes:
        return Verdict.refused
    if outcomes & {Outcome.crashed, Outcome.timeout, Outcome.lost}:
        return Verdict.failed
    return Verdict.identical if len(runs) > 1 else Verdict.not_tested


def outcome_key(repeat: Repeat) -> tuple[object, ...]:
    """Everything that decides a verdict: the outcome digests of every step and of the end."""
    steps = tuple(tuple(getattr(step, name) for name in OUTCOMES) for step in repeat.steps)
    return (repeat.initial, steps, final_key(repeat.final))


def final_key(final: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(final.items()))


def _earliest_divergence(runs: Sequence[RunRecord]) -> Divergence | None:
    """The first place where any training parts from the first run's first."""
    trainings = [one for run in runs for one in run.repeats]
    partings = (find_divergence(trainings[0], other) for other in trainings[1:])
    return min((one for one in partings if one), default=None)


def find_divergence(one: Repeat, other: Repeat) -> Divergence | None:
    """The earliest step and component, explaining ones included, at which two trainings differ."""
    if one.initial != other.initial:
        return Divergence(0, 0, START)
    for number, (a, b) in enumerate(zip(one.steps, other.steps, strict=False), 1):
        for order, name in enumerate(COMPONENTS):
            if getattr(a, name) != getattr(b, name):
                return Divergence(number, order, name)
    if len(one.steps) != len(other.steps):
        return Divergence(min(len(one.steps), len(other.steps)) + 1, 0, END)
    if one.final != other.final:
        differing = sorted(name for name in one.final if one.final[name] != other.final.get(name))
        return Divergence(len(one.steps), len(COMPONENTS), (differing or [END])[0])
    return None


def snapshots_match(reference: RunRecord, run: RunRecord) -> bool:
    """Whether every training of a run kept the same parameters as the reference's first."""
    first = reference.repeats[0].snapshots
    return all(one.snapshots == first for one in run.repeats)
