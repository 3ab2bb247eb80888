"""The verdict on a cell: whether its runs differ, and where they first diverge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from harness.core.agreement import Agreement
from harness.core.record import Outcome, Repeat, RunRecord
from harness.core.steps import COMPONENTS, first_difference


class Verdict(StrEnum):
    per_call = "varies per call"  # repeats within one process differ
    per_process = "varies per process"  # processes differ whose repeats agree
    varies = "varies"  # processes differ, and none of those with repeats
    rarely = "rarely varies"  # under 10 % of the processes differ
    refused = "refused"
    failed = "failed"
    not_tested = "not tested"  # fewer than two completed runs
    identical = "identical"

    @property
    def is_tested(self) -> bool:
        """Whether runs were compared."""
        return self.differs or self is Verdict.identical

    @property
    def differs(self) -> bool:
        return self in (Verdict.per_call, Verdict.per_process, Verdict.varies, Verdict.rarely)


MIN_IDENTICAL = 30  # processes to be called identical: fewer leave a bound above 10 %
UNDISTINGUISHED = "no difference seen"


def wording(verdict: Verdict, processes: int) -> str:
    """Return a verdict in the words of every table and message; ``processes`` are independent."""
    is_weak = verdict is Verdict.identical and processes < MIN_IDENTICAL
    return UNDISTINGUISHED if is_weak else str(verdict)


Results = Sequence[tuple[object, ...]]  # of the trainings of one run
SEEN_WHEN_TIMED = "timing runs differ: observer effect or rare divergence"
START, END = "start", "end"  # instead of a component: the initial state, the number of steps


@dataclass(frozen=True, order=True)
class Divergence:
    """Where two trainings first diverge. Step 0 is the initial state, or all of a program that does
    not train.
    """

    step: int
    order: int  # of the component within the step
    component: str


def place_at_step_zero(component: str) -> str:
    """Where trainings diverge at step 0: before the first step, or at the end if there is none."""
    return "before step 1" if component == START else f"at the end, in {component}"


@dataclass(frozen=True)
class Judgement:
    verdict: Verdict
    distinct: int  # number of different final states among the runs' first repeats
    completed: int
    first_divergence: Divergence | None
    agreement: Agreement
    note: str = ""


def judge(traces: Sequence[RunRecord], timings: Sequence[RunRecord] = ()) -> Judgement:
    """Return the verdict on a cell's trace runs, checked against the final states of timing runs.

    Precedence: rarely, per call (one run is enough), per process, varies, refused, failed, not
    tested, identical. The last requires that no run crashed, timed out, was lost or refused.
    """
    runs = [run for run in traces if run.outcome.completed and run.repeats]
    ends = [final_key(run.repeats[0].final) for run in runs]
    results = [[*map(outcome_key, run.repeats)] for run in runs]
    agreement = Agreement.of(_comparable(results))
    verdict = _decide_verdict(results, traces, timings)
    note = ""
    if not verdict.differs:
        all_ends = [*ends, *(final_key(run.timed.final) for run in timings if run.timed)]
        if len(set(all_ends)) > 1:
            verdict, note = Verdict.varies, SEEN_WHEN_TIMED
            agreement = Agreement.of(all_ends)
    return Judgement(
        verdict=Verdict.rarely if verdict.differs and agreement.is_rare else verdict,
        distinct=len(set(ends)),
        completed=len(runs),
        first_divergence=earliest_divergence(runs) if verdict.differs else None,
        agreement=agreement,
        note=note,
    )


def _decide_verdict(
    results: Sequence[Results], traces: Sequence[RunRecord], timings: Sequence[RunRecord]
) -> Verdict:
    """``results`` are those of each completed run's trainings."""
    if any(len({*trainings}) > 1 for trainings in results):
        return Verdict.per_call
    if len({trainings[0] for trainings in results}) > 1:
        repeated = {trainings[0] for trainings in results if len(trainings) > 1}
        return Verdict.per_process if len(repeated) > 1 else Verdict.varies
    outcomes = {run.outcome for run in (*traces, *timings)}
    if Outcome.refused in outcomes:
        return Verdict.refused
    if any(outcome.failed for outcome in outcomes):
        return Verdict.failed
    return Verdict.identical if len(results) > 1 else Verdict.not_tested


def process_results(runs: Sequence[RunRecord]) -> list[tuple[object, ...]]:
    """The results of each run's trainings, of as many of them as every run has."""
    return _comparable([[*map(outcome_key, run.repeats)] for run in runs])


def _comparable(results: Sequence[Results]) -> list[tuple[object, ...]]:
    fewest = min(map(len, results), default=0)
    return [tuple(trainings[:fewest]) for trainings in results]


def outcome_key(repeat: Repeat) -> tuple[object, ...]:
    """Return what decides a verdict: the outcome digests of all steps and of the final state."""
    return (repeat.initial, repeat.steps.outcomes, final_key(repeat.final))


def final_key(final: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(final.items()))


def earliest_divergence(
    runs: Sequence[RunRecord], components: Sequence[str] = COMPONENTS
) -> Divergence | None:
    """Return where any training first diverges from the first run's first training."""
    trainings = [repeat for run in runs for repeat in run.repeats]
    divergences = (
        find_divergence(trainings[0], training, components) for training in trainings[1:]
    )
    return min((divergence for divergence in divergences if divergence), default=None)


def find_divergence(
    a: Repeat, b: Repeat, components: Sequence[str] = COMPONENTS
) -> Divergence | None:
    """Return the earliest step and component, including EXPLAINING ones, at which two differ."""
    if a.initial != b.initial:
        return Divergence(0, 0, START)
    found = [
        Divergence(index + 1, order, name)
        for order, name in enumerate(components)
        if (index := first_difference(a.steps.column(name), b.steps.column(name))) is not None
    ]
    if found:
        return min(found)
    if len(a.steps) != len(b.steps):
        return Divergence(min(len(a.steps), len(b.steps)) + 1, 0, END)
    if a.final != b.final:
        differing = sorted(name for name in a.final if a.final[name] != b.final.get(name))
        return Divergence(len(a.steps), len(COMPONENTS), (differing or [END])[0])
    return None


def snapshots_match(reference: RunRecord, run: RunRecord) -> bool:
    """Whether every training of a run stored the same parameters as the reference's first one."""
    first = reference.repeats[0].snapshots
    return all(repeat.snapshots == first for repeat in run.repeats)
