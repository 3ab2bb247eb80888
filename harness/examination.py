"""Finds the origin and the fault of a training that varies, by runs made as they are needed.

Logs of one step's operations find the origin; treatments, each tried often enough to be believed,
find the fault. Nothing is inferred from the look of the code.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from harness import operations
from harness.analysis.origin import around, begin_alike, first_parting
from harness.analysis.rates import divergence_rate_lower, runs_for_a_cure
from harness.analysis.verdict import Judgement, Verdict, judge, outcome_key
from harness.diagnosis import Sighting, Trial
from harness.frameworks import environment_of
from harness.launch.local import LocalLauncher
from harness.operations import Log
from harness.record import Outcome, RunRecord
from harness.request import Request
from harness.spec import Cell, Kind, RunSpec
from harness.study import StudyFolder
from harness.treatments import FILLINGS, Fault, Treatment, conditions, kernels

REPEATS = 2  # trainings in each process, so that per-call and per-process faults are told apart
FILLED_RUNS = 3  # of each filling of fresh memory
CURED, NOT_CURED, UNDECIDED = "cured", "not cured", "undecided"


@dataclass
class Examination:
    folder: StudyFolder
    request: Request
    cell: Cell  # with its device
    trials: list[Trial] = field(default_factory=list)

    # ---- The origin

    def origin(self, judgement: Judgement) -> Sighting:
        """The earliest origin that two logs show.

        Only logs of trainings that were in the same state at the window's begin are compared. Where
        none were, the window begins earlier; where they were and agree, it ends later.
        """
        assert judgement.parting is not None
        window = (judgement.parting.step, judgement.parting.step)
        repeats = REPEATS if judgement.verdict is Verdict.per_call else 1
        tries, most = 0, self.request.diagnose.tries
        while tries < most:
            ahead = min(max(2, self.request.launch.ahead), most - tries)
            logs = self.logged(window, range(tries + 1, tries + ahead + 1), repeats)
            tries += ahead
            comparable = [other for other in logs[1:] if begin_alike(logs[0], other)]
            origins = [one for other in comparable if (one := first_parting(logs[0], other))]
            if origins:
                first = min(origins, key=lambda one: one.index)
                return Sighting(first, tuple(around(logs[0], first.index)), len(origins),
                                len(comparable), tries)  # fmt: skip
            window = wider(window) if comparable else earlier(window)
        return Sighting(None, (), 0, 0, tries)

    def logged(self, window: tuple[int, int], numbers: range, repeats: int) -> list[Log]:
        self.say(f"origin: {len(numbers)} runs log the operations of steps {window[0]} to "
                 f"{window[1]}")  # fmt: skip
        specs = [
            RunSpec(self.cell, Kind.operations, number, repeats=repeats, window=window,
                    environment=environment_of(self.cell))
            for number in numbers
        ]  # fmt: skip
        return [log for record in self.launch(specs) for log in self.logs_of(record)]

    def logs_of(self, record: RunRecord) -> Iterator[Log]:
        if record.outcome is not Outcome.ok:
            self.say(f"  {record.outcome}: {record.message}")
            return
        for repeat in range(1, record.spec.repeats + 1):
            path = self.folder.path / "operations" / f"{record.run_id}.{repeat}.json"
            yield operations.read(path)
            path.unlink()  # megabytes each; what they show is in the diagnosis

    # ---- The fault

    def faults(self, untreated: Sequence[RunRecord]) -> list[Fault]:
        """Each kind decided by experiment, in order; the first that holds is named."""
        base, runs, rate = self.cell, untreated, rate_of(untreated)
        stays: list[Treatment] = []
        for condition in conditions(self.cell):
            treated = condition.of(base)
            if self.is_cured(condition, treated, rate):
                return self.needed([*stays, condition], rate)
            if condition.fault is Fault.unseeded:  # without seeds nothing else could be seen
                stays.append(condition)
                runs = self.runs_of(treated, self.request.diagnose.runs)
                base, rate = treated, rate_of(runs)
        if self.depends_on_fresh_memory(base):
            return [*named(stays), Fault.fresh_memory]
        cured = [self.is_cured(one, one.of(base), rate) for one in kernels(base.determinism)]
        if any(cured):  # not before all were tried: each is advice
            return [*named(stays), Fault.reduction_order]
        return [*named(stays), *by_shape(judge(runs))]

    def needed(self, applied: list[Treatment], rate: float) -> list[Fault]:
        """Of conditions that cure together, only the last one where it cures alone."""
        *others, last = applied
        if others and self.is_cured(last, last.of(self.cell), rate):
            return [last.fault]
        return named(applied)

    def is_cured(self, treatment: Treatment, treated: Cell, rate: float) -> bool:
        """So many equal runs that an untreated training would give with a chance of at most 1 %."""
        needed = runs_for_a_cure(rate, self.request.diagnose.most)
        words = self.added(treated)
        if needed is None:
            self.trials.append(Trial(treatment.fault, words, 0, UNDECIDED))
            return False
        self.say(f"treatment: {' '.join(words)}, up to {needed} runs")
        runs, answer = self.tried(treated, needed)
        self.trials.append(Trial(treatment.fault, words, runs, answer))
        return answer == CURED

    def added(self, treated: Cell) -> tuple[str, ...]:
        """What a treated cell was given beyond what was asked for."""
        return tuple(word for word in treated.overrides if word not in self.cell.overrides)

    def tried(self, cell: Cell, most: int) -> tuple[int, str]:
        """Runs until two trainings differ, or enough have not."""
        seen = set()
        done = 0
        for record in self.traces(cell, most):
            if not record.outcome.completed:
                return done, f"{record.outcome}: {record.operation or record.message}"
            done += 1
            seen |= {outcome_key(one) for one in record.repeats}
            if len(seen) > 1:
                return done, NOT_CURED
        return done, CURED

    def depends_on_fresh_memory(self, base: Cell) -> bool:
        """Whether fillings of fresh memory, each of which gives one result, give different ones."""
        results = set()
        for filling in FILLINGS:
            cell = filling.of(base)
            self.say(f"treatment: {' '.join(filling.words)}, {FILLED_RUNS} runs")
            runs, answer = self.tried(cell, FILLED_RUNS)
            told = "constant" if answer == CURED else "varies" if answer == NOT_CURED else answer
            self.trials.append(Trial(filling.fault, self.added(cell), runs, told))
            if answer != CURED:
                return False
            results.add(outcome_key(self.runs_of(cell, 1)[0].repeats[0]))
        return len(results) > 1

    # ---- Runs

    def runs_of(self, cell: Cell, number: int) -> list[RunRecord]:
        return [one for one in self.traces(cell, number) if one.outcome.completed]

    def traces(self, cell: Cell, number: int) -> Iterator[RunRecord]:
        """Trace runs of a cell; those that were made before are not made again."""
        specs = [RunSpec(cell, Kind.trace, n, repeats=REPEATS, environment=environment_of(cell))
                 for n in range(1, number + 1)]  # fmt: skip
        known = {one.run_id: one for one in self.folder.records()}
        yield from (known[one.run_id] for one in specs if one.run_id in known)
        yield from self.launch([one for one in specs if one.run_id not in known])

    def launch(self, specs: Sequence[RunSpec]) -> Iterator[RunRecord]:
        position = 1 + max((one.position for one in self.folder.records()), default=-1)
        launcher = LocalLauncher(self.folder.path, self.request.launch, tick=lambda: None)
        yield from launcher.launch(specs, position)

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def tidy(self) -> None:
        for name in ("operations", "snapshots"):
            shutil.rmtree(self.folder.path / name, ignore_errors=True)


def named(treatments: Sequence[Treatment]) -> list[Fault]:
    return list(dict.fromkeys(one.fault for one in treatments))


def rate_of(runs: Sequence[RunRecord]) -> float:
    """Lower bound on the chance that a fresh process differs, or differs within itself."""
    keys = [{outcome_key(one) for one in run.repeats} for run in runs if run.repeats]
    differing = sum(len(one | keys[0]) > 1 for one in keys[1:])
    return divergence_rate_lower(differing, max(1, len(keys) - 1))


def earlier(window: tuple[int, int]) -> tuple[int, int]:
    return window[0] // 2, window[1]


def wider(window: tuple[int, int]) -> tuple[int, int]:
    return window[0], window[1] + (window[1] - window[0] + 1)


def by_shape(judgement: Judgement) -> list[Fault]:
    """What the pattern of differences says where no treatment cured."""
    if judgement.parting is not None and judgement.parting.component == "batch":
        return [Fault.data_order]
    if judgement.verdict is Verdict.per_process:
        return [Fault.algorithm_choice]
    if judgement.verdict is Verdict.per_call and judgement.distinct == 1:
        return [Fault.stateful_kernel]
    return []
