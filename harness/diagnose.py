"""`python -m harness diagnose OVERRIDES`: do runs part, at which operation, of what fault?"""

from __future__ import annotations

import dataclasses
import signal
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from harness import conduct
from harness.analysis.origin import Origin
from harness.analysis.verdict import Judgement, Verdict, judge
from harness.bench import DONE, INTERRUPTED, RUNS_FAILED, interrupt
from harness.diagnosis import Diagnosis, Sighting
from harness.errors import StudyStoppedError, UsageError
from harness.examination import Examination
from harness.experiment import REPEATS, Experiment
from harness.frameworks import FRAMEWORKS
from harness.plan import Plan, plan
from harness.probe import probe
from harness.progress import Display, estimate_s
from harness.record import RunRecord
from harness.request import Asked, Request, Runs
from harness.search import Search
from harness.spec import Cell
from harness.study import StudyFolder, create
from harness.treatments import Fault
from harness.words import command

ADVICE = Path(__file__).parent / "advice.toml"


def diagnose(request: Request) -> int:
    """Ordinary trace runs first; where they part, the examination. Gives the exit status."""
    request = of_one_cell(request)
    request.check()
    found = probe(request)
    planned = plan(request, found.device)
    folder = create(request, planned, found)
    with folder.lock():
        signal.signal(signal.SIGTERM, interrupt)
        try:
            diagnosis = carried_out(request, planned, folder)
        except KeyboardInterrupt:
            print(f"\nstopped; {how_to_go_on(request, folder)}", file=sys.stderr)
            return INTERRUPTED
        except StudyStoppedError as error:
            print(f"stopped: {error}. {how_to_go_on(request, folder)}", file=sys.stderr)
            return RUNS_FAILED
        diagnosis.write(folder.path)
    conduct.report(folder.path)
    diagnosis.show()
    print(f"study: {folder.path}")
    return DONE


def carried_out(request: Request, planned: Plan, folder: StudyFolder) -> Diagnosis:
    guess = estimate_s(planned.runs, 1)
    with Display(len(planned.runs), len(folder.done()), guess) as display:
        conduct.Conductor(folder, request, planned).run(display)
    (cell,) = (one.cell for one in planned.cells)
    experiment = Experiment(folder, request, cell)
    try:
        return examined(experiment, folder.records())
    finally:
        experiment.tidy()


def how_to_go_on(request: Request, folder: StudyFolder) -> str:
    words = [word for word in request.words
             if not word.startswith(("study.dir=", "diagnose.window="))]  # fmt: skip
    return ("what is done is kept. Go on with:\n"
            f"  {command([*words, f'study.dir={folder.path}'])}")  # fmt: skip


def of_one_cell(request: Request) -> Request:
    """The request of the untreated runs; raises UsageError where it is not for one torch cell."""
    if len(request.asked) != 1:
        raise UsageError(f"diagnose takes one cell, and these words name {len(request.asked)}")
    cell = request.asked[0].cell
    if not FRAMEWORKS[cell.scenario.framework].logs_operations:
        raise UsageError(f"diagnose logs torch's operations, and scenario "
                         f"'{cell.scenario.label}' is {cell.scenario.framework}'s")  # fmt: skip
    repeats = FRAMEWORKS[cell.scenario.framework].repeats(REPEATS)
    runs = Runs(trace=request.diagnose.runs, timing=0, repeats=repeats)
    return dataclasses.replace(request, asked=(Asked(cell, None),), controls=(), runs=runs)


def examined(experiment: Experiment, records: Sequence[RunRecord]) -> Diagnosis:
    untreated = [one for one in records if one.spec.cell == experiment.cell]
    judgement = judge(untreated)
    check_window(experiment, untreated)
    examination = Examination(experiment)
    found = Diagnosis(
        cell=experiment.cell.id,
        runs=judgement.completed,
        verdict=str(judgement.verdict),
        bound=bound(judgement),
        words=experiment.request.words,
    )
    if judgement.verdict is Verdict.identical:
        observed = examination.observed(experiment.cell)
        faults = [Fault.observer] if observed.changed_by else []
        return dataclasses.replace(found, observed=observed, faults=tuple(faults))
    if judgement.parting is None:
        return dataclasses.replace(found, failure=failure(untreated))
    sighting = Search(experiment).origin(judgement)
    faults = examination.faults(untreated)
    watched = examination.observed(examination.cured) if examination.cured else None
    if watched and watched.changed_by:
        faults.append(Fault.observer)
    return dataclasses.replace(
        found,
        step=judgement.parting.step,
        component=judgement.parting.component,
        sighting=sighting,
        faults=tuple(faults),
        trials=tuple(examination.trials),
        observed=watched,
        advice=advice_on(sighting, experiment.cell),
    )


def check_window(experiment: Experiment, runs: Sequence[RunRecord]) -> None:
    """Raises UsageError where the steps to log come after the training's last one."""
    window = experiment.request.diagnose.steps
    lengths = [len(one.steps) for run in runs for one in run.repeats]
    if window and lengths and window[0] > max(lengths):
        raise UsageError(
            f"diagnose.window={experiment.request.diagnose.window}: the training has "
            f"{max(lengths)} steps. {how_to_go_on(experiment.request, experiment.folder)}"
        )


def failure(runs: Sequence[RunRecord]) -> str:
    """What the first run that did not come to its end said; empty where all did."""
    for run in runs:
        if not run.outcome.completed:
            return f"{run.outcome}: {run.operation or run.message}"
    return ""


def bound(judgement: Judgement) -> str:
    """Of n - 1 comparisons without a difference, Clopper–Pearson's is 1 - 0.05^(1/(n-1))."""
    if judgement.verdict.differs:
        return f"{judgement.distinct} different results"
    chance = 1 - 0.05 ** (1 / max(1, judgement.completed - 1))
    return f"a fresh run differs with a chance of at most {100 * chance:.2g} %"


def advice_on(sighting: Sighting, cell: Cell) -> str:
    """What the table says of the origin's operation on this kind of device; else nothing."""
    origin: Origin | None = sighting.origin
    if origin is None:
        return ""
    kind = cell.device.partition(":")[0]
    for one in tomllib.loads(ADVICE.read_text(encoding="utf-8"))["advice"]:
        fits = origin.operation.name.startswith(tuple(one["operations"]))
        if fits and one["device"] in (kind, "any"):
            return f"{one['do'][0].upper()}{one['do'][1:]} ({one['source']}; torch {one['torch']})."
    return ""
