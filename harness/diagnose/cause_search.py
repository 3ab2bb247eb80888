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
from harness.diagnose.binomial import divergence_rate_lower, runs_for_fix
from harness.diagnose.diagnosis import COMPONENTS_DIGESTED, OPERATIONS_LOGGED, ObserverEffect, Trial
from harness.diagnose.runs import Experiment
from harness.diagnose.treatments import (
    FILLINGS,
    HASH_SEED,
    Fault,
    Treatment,
    condition_treatments,
    kernel_treatments,
)

RUNS_PER_FILLING = 3  # of each filling of fresh memory
FIXED, NOT_FIXED, UNDECIDED = "fixed", "not fixed", "undecided"


@dataclass
class CauseSearch:
    experiment: Experiment
    trials: list[Trial] = field(default_factory=list)
    fixed_cell: Cell | None = None  # the first cell of which that was shown

    def find(self, untreated: Sequence[RunRecord]) -> list[Fault]:
        """Each kind decided by experiment, in order; the first that holds is named."""
        base, runs, rate = self.experiment.cell, untreated, _divergence_rate(untreated)
        stays: list[Treatment] = []
        for condition in condition_treatments(self.experiment.cell):
            treated = condition.apply(base)
            if self._is_fixed(condition, treated, rate):
                return self._needed_faults([*stays, condition], rate)
            if condition.fault is Fault.unseeded:  # without seeds nothing else could be seen
                stays.append(condition)
                runs = self.experiment.completed_runs(
                    treated, self.experiment.request.diagnose.runs
                )
                base, rate = treated, _divergence_rate(runs)
        if self._depends_on_fresh_memory(base):
            return [*_faults_of(stays), Fault.fresh_memory]
        treatments = kernel_treatments(base.determinism)
        fixed = [self._is_fixed(one, one.apply(base), rate) for one in treatments]
        if any(fixed):  # not before all were tried: each is advice
            return [*_faults_of(stays), Fault.reduction_order]
        if any(
            one.fault is Fault.hash_order for one in condition_treatments(self.experiment.cell)
        ) and (self._is_fixed_together(HASH_SEED.apply(base))):
            return [*_faults_of(stays), Fault.hash_order, Fault.reduction_order]
        return [*_faults_of(stays), *_fault_from_pattern(judge(runs))]

    def _is_fixed_together(self, hashed: Cell) -> bool:
        """Whether what neither a hash seed nor kernels cure alone, both do."""
        rate = _divergence_rate(
            self.experiment.completed_runs(hashed, self.experiment.request.diagnose.runs)
        )
        cured = [
            self._is_fixed(one, one.apply(hashed), rate)
            for one in kernel_treatments(hashed.determinism)
        ]
        return any(cured)

    def _needed_faults(self, applied: list[Treatment], rate: float) -> list[Fault]:
        """Of conditions that cure together, only the last one where it fixes alone."""
        *others, last = applied
        if others and self._is_fixed(last, last.apply(self.experiment.cell), rate):
            return [last.fault]
        return _faults_of(applied)

    def _is_fixed(self, treatment: Treatment, treated: Cell, rate: float) -> bool:
        """So many equal runs that an untreated training would give with a chance of at most 1 %."""
        needed = runs_for_fix(rate, self.experiment.request.diagnose.most)
        words = self._added_overrides(treated)
        if needed is None:
            self.trials.append(Trial(treatment.fault, words, 0, UNDECIDED))
            return False
        self.experiment.log(f"treatment: {' '.join(words)}, up to {needed} runs")
        runs, answer = self._try_cell(treated, needed)
        self.trials.append(Trial(treatment.fault, words, runs, answer))
        if answer == FIXED:
            self.fixed_cell = self.fixed_cell or treated
        return answer == FIXED

    def _added_overrides(self, treated: Cell) -> tuple[str, ...]:
        """What a treated cell was given beyond what was asked for."""
        return tuple(
            word for word in treated.overrides if word not in self.experiment.cell.overrides
        )

    def _try_cell(self, cell: Cell, most: int) -> tuple[int, str]:
        """Runs until two trainings differ, or enough have not."""
        seen = set()
        done = 0
        for record in self.experiment.traces(cell, most):
            if not record.outcome.completed:
                return done, f"{record.outcome}: {record.operation or record.message}"
            done += 1
            seen |= {outcome_key(one) for one in record.repeats}
            if len(seen) > 1:
                return done, NOT_FIXED
        return done, FIXED

    def _depends_on_fresh_memory(self, base: Cell) -> bool:
        """Whether fillings of fresh memory, each of which gives one result, give different ones."""
        results = set()
        for filling in FILLINGS:
            cell = filling.apply(base)
            self.experiment.log(f"treatment: {' '.join(filling.words)}, {RUNS_PER_FILLING} runs")
            runs, answer = self._try_cell(cell, RUNS_PER_FILLING)
            told = "constant" if answer == FIXED else "varies" if answer == NOT_FIXED else answer
            self.trials.append(Trial(filling.fault, self._added_overrides(cell), runs, told))
            if answer != FIXED:
                return False
            results.add(outcome_key(self.experiment.completed_runs(cell, 1)[0].repeats[0]))
        return len(results) > 1

    # ---- The observer

    def observer_effect(self, identical: Cell) -> ObserverEffect:
        """Of a cell whose runs are all the same: how it ends when less, and more, is watched."""
        (traced,) = self.experiment.completed_runs(identical, 1)
        steps = len(traced.repeats[0].steps)
        self.experiment.log(
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
        return ObserverEffect(
            self._added_overrides(identical), tuple(how for how, one in ends.items() if one != end)
        )


def _faults_of(treatments: Sequence[Treatment]) -> list[Fault]:
    return list(dict.fromkeys(one.fault for one in treatments))


def _divergence_rate(runs: Sequence[RunRecord]) -> float:
    """Lower bound on the chance that a fresh process differs, or differs within itself."""
    keys = [{outcome_key(one) for one in run.repeats} for run in runs if run.repeats]
    differing = sum(len(one | keys[0]) > 1 for one in keys[1:])
    return divergence_rate_lower(differing, max(1, len(keys) - 1))


def _fault_from_pattern(judgement: Judgement) -> list[Fault]:
    """What the pattern of differences says where no treatment cured."""
    if judgement.first_divergence is not None and judgement.first_divergence.component == "batch":
        return [Fault.data_order]
    if judgement.verdict is Verdict.per_process:
        return [Fault.algorithm_choice]
    if judgement.verdict is Verdict.per_call and judgement.distinct == 1:
        return [Fault.stateful_kernel]
    return []
