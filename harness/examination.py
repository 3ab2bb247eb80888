"""Finds the origin and the fault of a training that varies, by runs made as they are needed.

Logs of one step's operations find the origin; treatments, each tried often enough to be believed,
find the fault. Nothing is inferred from the look of the code.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from harness import operations
from harness.analysis.origin import Nature, Origin, around, begin_alike, first_parting
from harness.analysis.rates import divergence_rate_lower, runs_for_a_cure
from harness.analysis.verdict import Judgement, Verdict, final_key, judge, outcome_key
from harness.diagnosis import (
    COMPONENTS_DIGESTED,
    OPERATIONS_LOGGED,
    Extent,
    Observed,
    Sighting,
    Trial,
)
from harness.frameworks import FRAMEWORKS, environment_of
from harness.launch.local import LocalLauncher
from harness.launch.worker_process import environment
from harness.operations import Log
from harness.record import Outcome, RunRecord
from harness.request import Request
from harness.spec import Cell, Kind, RunSpec
from harness.study import StudyFolder
from harness.treatments import FILLINGS, HASH_SEED, Fault, Treatment, conditions, kernels

REPEATS = 2  # trainings in each process, so that per-call and per-process faults are told apart
FIRST = 2  # runs that are begun with: often they show all, and no more are started for nothing
FILLED_RUNS = 3  # of each filling of fresh memory
CURED, NOT_CURED, UNDECIDED = "cured", "not cured", "undecided"


@dataclass
class Examination:
    folder: StudyFolder
    request: Request
    cell: Cell  # with its device
    trials: list[Trial] = field(default_factory=list)
    cured: Cell | None = None  # the first cell of which that was shown
    failure: str = ""  # of the last run whose operations were to be logged

    # ---- The origin

    def origin(self, judgement: Judgement) -> Sighting:
        """The earliest origin that two logs show.

        Only logs of trainings that were in the same state at the window's begin are compared. Where
        none were, the window begins earlier; where they were and agree, it ends later.
        """
        assert judgement.parting is not None
        asked = self.request.diagnose.steps
        window = asked or (judgement.parting.step, judgement.parting.step)
        repeats = self.repeats if judgement.verdict is Verdict.per_call else 1
        tries, most = 0, self.request.diagnose.tries
        while tries < most:
            ahead = min(max(FIRST, self.request.launch.ahead) if tries else FIRST, most - tries)
            logs = self.logged(window, range(tries + 1, tries + ahead + 1), repeats)
            tries += ahead
            if not logs:
                return Sighting(None, window, tries, failure=self.failure)
            comparable = [other for other in logs[1:] if begin_alike(logs[0], other)]
            origins = [(one, other) for other in comparable
                       if (one := first_parting(logs[0], other))]  # fmt: skip
            if origins:
                first, other = min(origins, key=lambda both: both[0].index)
                return Sighting(
                    first,
                    window,
                    tries,
                    tuple(around(logs[0], other, first)),
                    len(origins),
                    len(comparable),
                    self.extent(first, window, repeats),
                )
            if not asked:
                window = wider(window) if comparable else earlier(window)
        return Sighting(None, window, tries)

    def logged(
        self, window: tuple[int, int], numbers: range, repeats: int, keep: int | None = None
    ) -> list[Log]:
        what = "log the operations" if keep is None else "keep the origin's results"
        self.say(f"origin: {len(numbers)} runs {what} of steps {window[0]} to {window[1]}")
        specs = [
            RunSpec(self.cell, Kind.operations, number, repeats=repeats, window=window, keep=keep,
                    environment=environment_of(self.cell))
            for number in numbers
        ]  # fmt: skip
        return [log for record in self.launch(specs) for log in self.logs_of(record)]

    def logs_of(self, record: RunRecord) -> Iterator[Log]:
        if record.outcome is not Outcome.ok:
            told = record.operation or record.message.rstrip().rpartition("\n")[2]
            self.failure = f"{record.outcome}: {told}"
            self.say(f"  {self.failure}")
            return
        for repeat in range(1, record.spec.repeats + 1):
            path = operations.log_path(self.operations, record.run_id, repeat)
            yield operations.read(path)
            path.unlink()  # megabytes each; what they show is in the diagnosis

    def extent(self, origin: Origin, window: tuple[int, int], repeats: int) -> Extent | None:
        """By how much results of equal inputs differ, in the first two runs that show it."""
        if origin.nature not in (Nature.operation, Nature.fresh):
            return None
        logs: list[tuple[Log, Path]] = []
        for number in range(1, self.request.diagnose.tries + 1, 2):
            for log in self.logged(window, range(number, number + 2), repeats, origin.index):
                repeat = 1 + sum(log.run_id == other.run_id for other, _ in logs)
                logs.append((log, operations.kept_path(self.operations, log.run_id, repeat)))
            for (one, kept), (other, others) in combinations(logs, 2):
                found = first_parting(one, other)
                if found and found.index == origin.index and kept.exists() and others.exists():
                    return measured(kept, others)
        return None

    @property
    def operations(self) -> Path:
        return self.folder.path / operations.FOLDER

    @property
    def repeats(self) -> int:
        """Trainings in each process; a script runs once in its own."""
        return 1 if FRAMEWORKS[self.cell.scenario.framework].once else REPEATS

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
        if any(one.fault is Fault.hash_order for one in conditions(self.cell)) and (
            self.are_cured_together(HASH_SEED.of(base))
        ):
            return [*named(stays), Fault.hash_order, Fault.reduction_order]
        return [*named(stays), *by_shape(judge(runs))]

    def are_cured_together(self, hashed: Cell) -> bool:
        """Whether what neither a hash seed nor kernels cure alone, both do."""
        rate = rate_of(self.runs_of(hashed, self.request.diagnose.runs))
        cured = [self.is_cured(one, one.of(hashed), rate) for one in kernels(hashed.determinism)]
        return any(cured)

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
        if answer == CURED:
            self.cured = self.cured or treated
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

    # ---- The observer

    def observed(self, identical: Cell) -> Observed:
        """Of a cell whose runs are all the same: how it ends when less, and more, is watched."""
        (traced,) = self.runs_of(identical, 1)
        steps = len(traced.repeats[0].steps)
        self.say("observer: 2 runs, one without digests, one with a log of its operations")
        specs = [
            RunSpec(identical, Kind.timing, 1, environment=environment_of(identical)),
            RunSpec(identical, Kind.operations, 1, window=(1, min(2, steps)), to_end=True,
                    environment=environment_of(identical)),
        ]  # fmt: skip
        plain, logged = self.launch(specs)
        end = final_key(traced.repeats[0].final)
        ends = {
            COMPONENTS_DIGESTED: final_key(plain.timed.final) if plain.timed else end,
            OPERATIONS_LOGGED: final_key(logged.ends[0]) if logged.ends else end,
        }
        return Observed(
            self.added(identical), tuple(how for how, one in ends.items() if one != end)
        )

    # ---- Runs

    def runs_of(self, cell: Cell, number: int) -> list[RunRecord]:
        return [one for one in self.traces(cell, number) if one.outcome.completed]

    def traces(self, cell: Cell, number: int) -> Iterator[RunRecord]:
        """Trace runs of a cell; those that were made before are not made again."""
        specs = [RunSpec(cell, Kind.trace, n, repeats=self.repeats,
                         environment=environment_of(cell))
                 for n in range(1, number + 1)]  # fmt: skip
        known = {one.run_id: one for one in self.folder.records()}
        yield from (known[one.run_id] for one in specs if one.run_id in known)
        missing = [one for one in specs if one.run_id not in known]
        yield from self.launch(missing[:FIRST])
        yield from self.launch(missing[FIRST:])

    def launch(self, specs: Sequence[RunSpec]) -> Iterator[RunRecord]:
        position = 1 + max((one.position for one in self.folder.records()), default=-1)
        launcher = LocalLauncher(self.folder.path, self.request.launch, tick=lambda: None)
        yield from launcher.launch(specs, position)

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def tidy(self) -> None:
        for name in (operations.FOLDER, "snapshots"):
            shutil.rmtree(self.folder.path / name, ignore_errors=True)


def measured(one: Path, other: Path) -> Extent:
    """In a process of the telling side, which has NumPy."""
    words = [sys.executable, "-m", "harness.analysis.extent", str(one), str(other)]
    done = subprocess.run(words, check=True, capture_output=True, env=environment({}))
    return Extent(**json.loads(done.stdout))


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
