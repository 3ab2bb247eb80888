"""Search for the cause of a divergence: apply treatments and check whether runs still differ.

Each treatment gets enough runs to rule out agreement by chance. The cause is never inferred from
source code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.core.agreement import Agreement
from harness.core.binomial import divergence_rate_lower, runs_for_fix
from harness.core.record import RunRecord
from harness.core.spec import Cell, Kind
from harness.core.verdict import Judgement, Verdict, final_key, judge, outcome_key
from harness.diagnose.diagnosis import (
    COMPONENTS_DIGESTED,
    FIXED,
    NOT_FIXED,
    OPERATIONS_LOGGED,
    UNDECIDED,
    ObserverEffect,
    Trial,
)
from harness.diagnose.origin import Origin, OriginKind
from harness.diagnose.runs import Experiment, all_agree
from harness.diagnose.treatments import (
    FILLINGS,
    HASH_SEED,
    Fault,
    Treatment,
    condition_treatments,
    first_call_treatments,
    kernel_treatments,
)

RUNS_PER_FILLING = 3  # for each value that uninitialized memory is filled with


@dataclass
class CauseSearch:
    experiment: Experiment
    origin: Origin | None = None  # of the difference, as the operation logs show it
    trials: list[Trial] = field(default_factory=list)
    fixed_cell: Cell | None = None  # the first cell with a confirmed fix

    def find(self, untreated: Sequence[RunRecord]) -> list[Fault]:
        """Test each kind of fault in order; return the faults that the first fix proves."""
        base, runs, rate = self.experiment.cell, untreated, divergence_rate(untreated)
        retained: list[Treatment] = []
        for condition in condition_treatments(self.experiment.cell):
            treated = condition.apply(base)
            if self._is_fixed(condition, treated, rate):
                return self._needed_faults([*retained, condition], rate)
            if condition.fault is Fault.unseeded:  # missing seeds would hide every other fault
                retained.append(condition)
                base, runs = treated, self._reference_runs(treated)
                rate = divergence_rate(runs)
        is_seeded = self.experiment.cell.determinism.seed is not None
        if is_seeded and self.origin and self.origin.draws_from_other_state:
            return [Fault.unseeded]  # of a generator that no setting reaches
        return [*_faults_of(retained), *self._find_in_kernels(base, runs, rate)]

    def _find_in_kernels(self, base: Cell, runs: Sequence[RunRecord], rate: float) -> list[Fault]:
        """The faults of a training whose conditions are met, which lie in how it is computed."""
        if fault := self._memory_or_first_call(base, rate):
            return [fault]
        if self._kernels_fix(base, rate):
            return [Fault.reduction_order]
        conditions = condition_treatments(self.experiment.cell)
        can_seed_hashes = any(condition.fault is Fault.hash_order for condition in conditions)
        if can_seed_hashes and self._hash_seed_and_kernels_fix(base):
            return [Fault.hash_order, Fault.reduction_order]
        if any(trial.answer == UNDECIDED for trial in self.trials):  # one of them may be the fix
            return []
        return _fault_from_pattern(judge(runs), self.origin)

    def _memory_or_first_call(self, base: Cell, rate: float) -> Fault | None:
        if self._depends_on_fresh_memory(base):
            return Fault.uninitialized_memory
        for treatment in first_call_treatments(base):
            if self._is_fixed(treatment, treatment.apply(base), rate):
                return treatment.fault
        return None

    def _kernels_fix(self, base: Cell, rate: float) -> bool:
        """Whether a kernel treatment fixes ``base``; tries all, because every fix is reported."""
        treatments = kernel_treatments(base.determinism)
        fixed = [self._is_fixed(treatment, treatment.apply(base), rate) for treatment in treatments]
        return any(fixed)

    def _hash_seed_and_kernels_fix(self, base: Cell) -> bool:
        """Whether a hash seed and a kernel treatment together fix what neither fixes alone."""
        hashed = HASH_SEED.apply(base)
        return self._kernels_fix(hashed, divergence_rate(self._reference_runs(hashed)))

    def _reference_runs(self, base: Cell) -> list[RunRecord]:
        """The runs of a cell that further treatments are compared with."""
        return self.experiment.completed_runs(base, self.experiment.request.diagnose.runs)

    def _needed_faults(self, applied: list[Treatment], rate: float) -> list[Fault]:
        """The faults of conditions that fix together, or only the last if it fixes alone."""
        *earlier, last = applied
        if earlier and self._is_fixed(last, last.apply(self.experiment.cell), rate):
            return [last.fault]
        return _faults_of(applied)

    def _is_fixed(self, treatment: Treatment, treated: Cell, rate: float) -> bool:
        """Whether enough treated runs agree to rule out chance at the 1 % level."""
        needed = runs_for_fix(rate, self.experiment.request.diagnose.most)
        overrides = self._added_overrides(treated)
        if needed is None:
            self.trials.append(Trial(treatment.fault, overrides, 0, UNDECIDED))
            return False
        self.experiment.log(f"treatment: {' '.join(overrides)}, up to {needed} runs")
        runs, answer = self._try_cell(treated, needed)
        self.trials.append(Trial(treatment.fault, overrides, runs, answer))
        if answer == FIXED:
            self.fixed_cell = self.fixed_cell or treated
        return answer == FIXED

    def _added_overrides(self, treated: Cell) -> tuple[str, ...]:
        """The overrides of a treated cell that the requested cell does not have."""
        requested = self.experiment.cell.overrides
        return tuple(override for override in treated.overrides if override not in requested)

    def _try_cell(self, cell: Cell, most: int) -> tuple[int, str]:
        """Run until two trainings differ or ``most`` runs agree; return the runs and the answer."""
        records = self.experiment.until_they_differ(cell, most)
        *earlier, last = records
        if not last.outcome.completed:
            return len(earlier), f"{last.outcome}: {last.reason}"
        return len(records), FIXED if all_agree(records) else NOT_FIXED

    def _depends_on_fresh_memory(self, base: Cell) -> bool:
        """Whether each filling of uninitialized memory has a constant result, and they differ."""
        results = set()
        for filling in FILLINGS:
            cell = filling.apply(base)
            self.experiment.log(f"treatment: {' '.join(filling.words)}, {RUNS_PER_FILLING} runs")
            runs, answer = self._try_cell(cell, RUNS_PER_FILLING)
            effect = {FIXED: "constant", NOT_FIXED: "varies"}.get(answer, answer)
            self.trials.append(Trial(filling.fault, self._added_overrides(cell), runs, effect))
            if answer != FIXED:
                return False
            results.add(outcome_key(self.experiment.completed_runs(cell, 1)[0].repeats[0]))
        return len(results) > 1

    def observer_effect(self, identical: Cell) -> ObserverEffect:
        """Whether a cell with identical runs ends differently under less or more observation."""
        (traced,) = self.experiment.completed_runs(identical, 1)
        steps = len(traced.repeats[0].steps)
        self.experiment.log("observer: 2 runs, one without digests, one with its operations logged")
        window, spec = (1, min(2, steps)), self.experiment.spec
        specs = [
            spec(identical, Kind.timing, 1),
            spec(identical, Kind.operations, 1, window=window, to_end=True),
        ]
        undigested, logged = self.experiment.launch(specs)
        end = final_key(traced.repeats[0].final)
        ends = {
            COMPONENTS_DIGESTED: final_key(undigested.timed.final) if undigested.timed else end,
            OPERATIONS_LOGGED: final_key(logged.ends[0]) if logged.ends else end,
        }
        changed_by = tuple(observer for observer, final in ends.items() if final != end)
        return ObserverEffect(self._added_overrides(identical), changed_by)


def _faults_of(treatments: Sequence[Treatment]) -> list[Fault]:
    return list(dict.fromkeys(treatment.fault for treatment in treatments))


def divergence_rate(runs: Sequence[RunRecord]) -> float:
    """Lower bound on the probability that a fresh process differs, or varies within itself.

    It is 0 for fewer than two runs, which have nothing to be compared with.
    """
    results = [{outcome_key(repeat) for repeat in run.repeats} for run in runs if run.repeats]
    constant = Agreement.of([next(iter(result)) for result in results if len(result) == 1])
    differing = len(results) - constant.agreeing
    comparisons = max(0, len(results) - 1)
    return divergence_rate_lower(min(differing, comparisons), comparisons)


def _fault_from_pattern(judgement: Judgement, origin: Origin | None) -> list[Fault]:
    """What the pattern of differences indicates if no treatment fixes the training."""
    if judgement.first_divergence is not None and judgement.first_divergence.component == "batch":
        return [Fault.data]
    if origin and origin.kind is OriginKind.outside:
        return [Fault.outside]
    if judgement.verdict is Verdict.per_process:
        return [Fault.algorithm_choice]
    if judgement.verdict is Verdict.per_call and judgement.distinct == 1:
        return [Fault.stateful_kernel]
    return []
