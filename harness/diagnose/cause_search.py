"""Finds the fault of a training that varies by treatments, each tried often enough to be believed.

Nothing is inferred from the look of the code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.core.frameworks import environment_of
from harness.core.record import RunRecord
from harness.core.spec import Cell, Kind, RunSpec
from harness.core.verdict import Judgement, Verdict, final_key, judge, outcome_key
from harness.diagnose.binomial import divergence_rate_lower, runs_for_a_cure
from harness.diagnose.diagnosis import COMPONENTS_DIGESTED, OPERATIONS_LOGGED, Observed, Trial
from harness.diagnose.runs import Experiment
from harness.diagnose.treatments import FILLINGS, HASH_SEED, Fault, Treatment, conditions, kernels

FILLED_RUNS = 3  # of each filling of fresh memory
CURED, NOT_CURED, UNDECIDED = "cured", "not cured", "undecided"


@dataclass
class CauseSearch:
    experiment: Experiment
    trials: list[Trial] = field(default_factory=list)
    cured: Cell | None = None  # the first cell of which that was shown

    def find(self, untreated: Sequence[RunRecord]) -> list[Fault]:
        """Each kind decided by experiment, in order; the first that holds is named."""
        base, runs, rate = self.experiment.cell, untreated, rate_of(untreated)
        stays: list[Treatment] = []
        for condition in conditions(self.experiment.cell):
            treated = condition.of(base)
            if self.is_cured(condition, treated, rate):
                return self.needed([*stays, condition], rate)
            if condition.fault is Fault.unseeded:  # without seeds nothing else could be seen
                stays.append(condition)
                runs = self.experiment.runs_of(treated, self.experiment.request.diagnose.runs)
                base, rate = treated, rate_of(runs)
        if self.depends_on_fresh_memory(base):
            return [*named(stays), Fault.fresh_memory]
        cured = [self.is_cured(one, one.of(base), rate) for one in kernels(base.determinism)]
        if any(cured):  # not before all were tried: each is advice
            return [*named(stays), Fault.reduction_order]
        if any(one.fault is Fault.hash_order for one in conditions(self.experiment.cell)) and (
            self.are_cured_together(HASH_SEED.of(base))
        ):
            return [*named(stays), Fault.hash_order, Fault.reduction_order]
        return [*named(stays), *by_shape(judge(runs))]

    def are_cured_together(self, hashed: Cell) -> bool:
        """Whether what neither a hash seed nor kernels cure alone, both do."""
        rate = rate_of(self.experiment.runs_of(hashed, self.experiment.request.diagnose.runs))
        cured = [self.is_cured(one, one.of(hashed), rate) for one in kernels(hashed.determinism)]
        return any(cured)

    def needed(self, applied: list[Treatment], rate: float) -> list[Fault]:
        """Of conditions that cure together, only the last one where it cures alone."""
        *others, last = applied
        if others and self.is_cured(last, last.of(self.experiment.cell), rate):
            return [last.fault]
        return named(applied)

    def is_cured(self, treatment: Treatment, treated: Cell, rate: float) -> bool:
        """So many equal runs that an untreated training would give with a chance of at most 1 %."""
        needed = runs_for_a_cure(rate, self.experiment.request.diagnose.most)
        words = self.added(treated)
        if needed is None:
            self.trials.append(Trial(treatment.fault, words, 0, UNDECIDED))
            return False
        self.experiment.say(f"treatment: {' '.join(words)}, up to {needed} runs")
        runs, answer = self.tried(treated, needed)
        self.trials.append(Trial(treatment.fault, words, runs, answer))
        if answer == CURED:
            self.cured = self.cured or treated
        return answer == CURED

    def added(self, treated: Cell) -> tuple[str, ...]:
        """What a treated cell was given beyond what was asked for."""
        return tuple(
            word for word in treated.overrides if word not in self.experiment.cell.overrides
        )

    def tried(self, cell: Cell, most: int) -> tuple[int, str]:
        """Runs until two trainings differ, or enough have not."""
        seen = set()
        done = 0
        for record in self.experiment.traces(cell, most):
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
            self.experiment.say(f"treatment: {' '.join(filling.words)}, {FILLED_RUNS} runs")
            runs, answer = self.tried(cell, FILLED_RUNS)
            told = "constant" if answer == CURED else "varies" if answer == NOT_CURED else answer
            self.trials.append(Trial(filling.fault, self.added(cell), runs, told))
            if answer != CURED:
                return False
            results.add(outcome_key(self.experiment.runs_of(cell, 1)[0].repeats[0]))
        return len(results) > 1

    # ---- The observer

    def observer_effect(self, identical: Cell) -> Observed:
        """Of a cell whose runs are all the same: how it ends when less, and more, is watched."""
        (traced,) = self.experiment.runs_of(identical, 1)
        steps = len(traced.repeats[0].steps)
        self.experiment.say(
            "observer: 2 runs, one without digests, one with a log of its operations"
        )
        specs = [
            RunSpec(identical, Kind.timing, 1, environment=environment_of(identical)),
            RunSpec(
                identical,
                Kind.operations,
                1,
                window=(1, min(2, steps)),
                to_end=True,
                environment=environment_of(identical),
            ),
        ]
        plain, logged = self.experiment.launch(specs)
        end = final_key(traced.repeats[0].final)
        ends = {
            COMPONENTS_DIGESTED: final_key(plain.timed.final) if plain.timed else end,
            OPERATIONS_LOGGED: final_key(logged.ends[0]) if logged.ends else end,
        }
        return Observed(
            self.added(identical), tuple(how for how, one in ends.items() if one != end)
        )


def named(treatments: Sequence[Treatment]) -> list[Fault]:
    return list(dict.fromkeys(one.fault for one in treatments))


def rate_of(runs: Sequence[RunRecord]) -> float:
    """Lower bound on the chance that a fresh process differs, or differs within itself."""
    keys = [{outcome_key(one) for one in run.repeats} for run in runs if run.repeats]
    differing = sum(len(one | keys[0]) > 1 for one in keys[1:])
    return divergence_rate_lower(differing, max(1, len(keys) - 1))


def by_shape(judgement: Judgement) -> list[Fault]:
    """What the pattern of differences says where no treatment cured."""
    if judgement.first_divergence is not None and judgement.first_divergence.component == "batch":
        return [Fault.data_order]
    if judgement.verdict is Verdict.per_process:
        return [Fault.algorithm_choice]
    if judgement.verdict is Verdict.per_call and judgement.distinct == 1:
        return [Fault.stateful_kernel]
    return []
