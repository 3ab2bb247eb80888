"""`python -m harness diagnose OVERRIDES`: do runs differ, at which operation first, and why?"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from harness.core.binomial import divergence_rate_upper
from harness.core.command_line import command_for_folder
from harness.core.errors import UsageError
from harness.core.frameworks import FRAMEWORKS, independent_runs
from harness.core.record import RunRecord
from harness.core.verdict import Judgement, Verdict, judge
from harness.diagnose.advice import find_advice
from harness.diagnose.cause_search import CauseSearch
from harness.diagnose.diagnosis import Diagnosis
from harness.diagnose.origin_search import OriginSearch
from harness.diagnose.runs import REPEATS, Experiment, TwoServers
from harness.diagnose.treatments import Fault, unperturbed
from harness.factors.catalog import perturb
from harness.study.request import Request, Runs
from harness.study.session import Session, run_inquiry
from harness.study.worker_process import StartProcess

FACTOR_RUNS = 2  # of each cell, whose bits `perturb` has compared by many more


def diagnose(request: Request) -> int:
    """Trace the runs of one cell; if they diverge, search for the origin and the cause."""
    cell = request.only_cell("diagnose")
    framework = FRAMEWORKS[cell.scenario.framework]
    if not framework.logs_operations:
        raise UsageError(
            f"diagnose supports only torch operations; '{cell.scenario.label}' is a "
            f"{cell.scenario.framework} scenario"
        )
    runs = Runs(trace=request.diagnose.runs, timing=0, repeats=framework.repeats(REPEATS))
    if request.diagnose.factor:
        cell = unperturbed(cell)
        _ = perturb(cell, [request.diagnose.factor])  # raises if there is no such factor
        runs = Runs(trace=FACTOR_RUNS, timing=0, repeats=1)
    return run_inquiry(request.for_cell(cell, runs), DiagnoseInquiry())[1]


class DiagnoseInquiry(TwoServers):
    def answer(self, session: Session, start: StartProcess) -> Diagnosis:
        with Experiment.of(session, start) as experiment:
            if factor := session.request.diagnose.factor:
                return _examine_factor(experiment, factor)
            return _examine(experiment, session.folder.records())

    def how_to_continue(self, session: Session) -> str:
        words = [word for word in session.request.words if not word.startswith("diagnose.window=")]
        again = command_for_folder(words, session.folder.path)
        return f"completed runs are kept. Continue with:\n  {again}"


def _examine(experiment: Experiment, records: Sequence[RunRecord]) -> Diagnosis:
    untreated = [run for run in records if run.spec.cell == experiment.cell]
    judgement = judge(untreated)
    _check_window(experiment, untreated)
    causes = CauseSearch(experiment)
    diagnosis = Diagnosis(
        cell=experiment.cell.id,
        runs=judgement.completed,
        verdict=str(judgement.verdict),
        bound=_describe_bound(judgement, untreated),
        words=experiment.request.words,
    )
    if judgement.verdict is Verdict.identical:
        observed = causes.observer_effect(experiment.cell)
        faults = [Fault.observer] if observed.changed_by else []
        return dataclasses.replace(diagnosis, observed=observed, faults=tuple(faults))
    if judgement.first_divergence is None:
        return dataclasses.replace(diagnosis, failure=_first_failure(untreated))
    origin_evidence = OriginSearch(experiment).find(judgement)
    causes.origin = origin_evidence.origin
    faults = causes.find(untreated)
    effect = causes.observer_effect(causes.fixed_cell) if causes.fixed_cell else None
    if effect and effect.changed_by:
        faults.append(Fault.observer)
    return dataclasses.replace(
        diagnosis,
        step=judgement.first_divergence.step,
        component=judgement.first_divergence.component,
        origin_evidence=origin_evidence,
        faults=tuple(faults),
        trials=tuple(causes.trials),
        observed=effect,
        advice=find_advice(origin_evidence.origin, experiment.cell),
    )


def _examine_factor(experiment: Experiment, factor: str) -> Diagnosis:
    """Find the first operation that differs under a factor: no fault, so no treatment is tried."""
    other = perturb(experiment.cell, [factor])
    untreated = experiment.untreated_runs()
    perturbed = experiment.completed_runs(other, FACTOR_RUNS)
    judgement = judge([*untreated, *perturbed])
    diagnosis = Diagnosis(
        cell=experiment.cell.id,
        runs=judgement.completed,
        verdict=str(judgement.verdict),
        bound=f"{len(untreated)} without and {len(perturbed)} with {factor}",
        words=experiment.request.words,
    )
    if judgement.first_divergence is None:
        return dataclasses.replace(diagnosis, failure=_first_failure([*untreated, *perturbed]))
    evidence = OriginSearch(experiment, other).find(judgement)
    return dataclasses.replace(
        diagnosis,
        step=judgement.first_divergence.step,
        component=judgement.first_divergence.component,
        origin_evidence=evidence,
        faults=(Fault.factor,),  # whose advice would be that of another cause
    )


def _check_window(experiment: Experiment, runs: Sequence[RunRecord]) -> None:
    """Raises UsageError if the window begins after the last step of the training."""
    window = experiment.request.diagnose.steps
    lengths = [len(repeat.steps) for run in runs for repeat in run.repeats]
    if window and lengths and window[0] > max(lengths):
        raise UsageError(
            f"diagnose.window={experiment.request.diagnose.window}: the training has "
            f"{max(lengths)} steps; the window must start at or before step {max(lengths)}"
        )


def _first_failure(runs: Sequence[RunRecord]) -> str:
    """How the first failed run failed; empty if all runs completed."""
    for run in runs:
        if not run.outcome.completed:
            return f"{run.outcome}: {run.reason}"
    return ""


def _describe_bound(judgement: Judgement, runs: Sequence[RunRecord]) -> str:
    if judgement.verdict.differs:
        return judgement.agreement.describe()
    completed = [run for run in runs if run.outcome.completed]
    rate = divergence_rate_upper(independent_runs(completed))
    return f"a fresh run differs with probability at most {100 * rate:.2g} %, at 95 % confidence"
