"""Rules about spread and time; each decides by a limit, a test or an interval."""

from __future__ import annotations

import math

import numpy as np
import scipy  # which loads scipy.stats when it is first used: a second

from harness.analysis.claims.ruling import MIN_RUNS, Answer, Cells, Rows, Ruling, negate, verdict_of
from harness.analysis.cost import EQUAL_WITHIN, by_block, paired_ratio
from harness.core.claims import Claim


def spread_at_most(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Whether (max − min) / mean of the last loss is at most ``limit``, if runs differ."""
    assert claim.limit is not None
    cell = cells["it"]
    verdict, _ = verdict_of(cell)
    if not verdict.differs:
        return Ruling(Answer.open, f"{cell.id} did not vary ({verdict})")
    spread = float(table[cell.measured_id]["loss_spread"])
    if math.isnan(spread):
        return Ruling(Answer.open, f"{cell.id} has no loss spread")
    answer = Answer.holds if spread <= claim.limit else Answer.fails
    return Ruling(answer, f"limit {100 * claim.limit:g} %", f"{100 * spread:.4g} % ({cell.id})")


def spread_above(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    return negate(spread_at_most(claim, cells, table))


def grows(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Whether differing runs are further apart at the last than at the first snapshot."""
    cell = cells["it"]
    verdict, _ = verdict_of(cell)
    if not verdict.differs:
        return Ruling(Answer.open, f"{cell.id} did not vary ({verdict})")
    by_step: dict[int, float] = {}
    for run in cell.completed:
        for steps in cell.trajectories(run) or []:
            for step, distance in steps.items():
                by_step[int(step)] = max(by_step.get(int(step), 0.0), float(distance["rel_l2"]))
    if len(by_step) < 2:
        return Ruling(Answer.open, f"{cell.id} has distances at fewer than two steps")
    first, last = min(by_step), max(by_step)
    answer = Answer.holds if by_step[last] > by_step[first] else Answer.fails
    measured = f"{by_step[first]:.2g} at step {first}, {by_step[last]:.2g} at step {last}"
    return Ruling(answer, f"largest weight distance in {cell.id}", measured)


def spread_larger(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Whether the variance of held-out accuracy is larger in one cell than in another (F-test).

    Decided if the two-sided 95 % interval of the ratio of variances excludes 1, assuming normal
    accuracies (Snedecor and Cochran, Statistical Methods). Any spread is larger than exactly 0.
    """
    runs = {role: verdict_of(cells[role])[1] for role in ("one", "other")}
    sds = {role: float(table[cells[role].measured_id]["accuracy_sd"]) for role in runs}
    if any(map(math.isnan, sds.values())) or min(runs.values()) < MIN_RUNS:
        return Ruling(Answer.open, f"accuracy spread needs at least {MIN_RUNS} runs per cell")
    measured = f"{100 * sds['one']:.3g} % against {100 * sds['other']:.3g} %"
    freedom = runs["one"] - 1, runs["other"] - 1
    least, most = scipy.stats.f.ppf([0.025, 0.975], *freedom)
    ratio = (sds["one"] / sds["other"]) ** 2 if sds["other"] else math.inf
    if sds["one"] == sds["other"] or least < ratio < most:
        why = f"accuracy spreads, no difference shown in {min(runs.values())} runs each"
        return Ruling(Answer.open, why, measured)
    answer = Answer.holds if ratio >= most else Answer.fails
    return Ruling(answer, "accuracy spreads (F-test)", measured)


def not_dearer(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Whether the cost is at most ``limit``; decided if its interval excludes the limit."""
    assert claim.limit is not None
    row = table[cells["it"].measured_id]
    ratio, low, high = (float(row[name]) for name in ("cost_ratio", "cost_low", "cost_high"))
    if math.isnan(ratio):
        return Ruling(Answer.open, f"{cells['it'].id} has no cost in this study")
    measured = f"{ratio:.3f} × ({low:.3f}–{high:.3f})"
    if low <= claim.limit < high:
        return Ruling(Answer.open, f"the interval spans the limit {claim.limit:g}", measured)
    answer = Answer.holds if high <= claim.limit else Answer.fails
    return Ruling(answer, f"limit {claim.limit:g} ×", measured)


def wider_relatively(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Whether accuracy has a larger relative spread over a cell's runs than the last loss.

    Logarithms turn relative into absolute spreads. Loss and accuracy come from the same runs, so
    their variances are compared by the correlation of sum and difference (Pitman and Morgan, 1939).
    """
    trainings = [run.repeats[0] for run in cells["it"].completed]
    accuracies = [training.accuracy for training in trainings if training.accuracy]
    losses = [float(training.losses[-1]) for training in trainings]
    if len(accuracies) < max(len(trainings), MIN_RUNS) or not all(loss > 0 for loss in losses):
        why = f"needs at least {MIN_RUNS} runs, each with an accuracy > 0 and a loss > 0"
        return Ruling(Answer.open, why)
    accuracy, loss = np.log(accuracies), np.log(losses)
    spreads = accuracy.std(ddof=1), loss.std(ddof=1)
    measured = f"{100 * spreads[0]:.3g} % of accuracy against {100 * spreads[1]:.3g} % of loss"
    if max(spreads) == 0:
        return Ruling(Answer.open, f"{cells['it'].id} did not vary", measured)
    if min(spreads) > 0 and scipy.stats.pearsonr(accuracy + loss, accuracy - loss).pvalue > 0.05:
        why = f"relative spreads, no difference shown in {len(trainings)} runs"
        return Ruling(Answer.open, why, measured)
    answer = Answer.holds if spreads[0] > spreads[1] else Answer.fails
    return Ruling(answer, "relative spreads (Pitman–Morgan test)", measured)


def moves_more(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Whether mean accuracy differs between two cells by more than it scatters in either.

    Decided if the 95 % interval of the difference of means (Welch 1947) lies entirely above or
    below the larger of the two standard deviations.
    """
    accuracy = {}
    for role in ("one", "other"):
        known = [run.repeats[0].accuracy for run in cells[role].completed]
        accuracy[role] = [value for value in known if value is not None]
        if len(accuracy[role]) < MIN_RUNS:
            return Ruling(Answer.open, f"mean accuracy needs at least {MIN_RUNS} runs per cell")
    scatter = max(float(table[cells[role].measured_id]["accuracy_sd"]) for role in accuracy)
    moved = abs(float(np.mean(accuracy["one"]) - np.mean(accuracy["other"])))
    measured = f"{100 * moved:.3g} % against a scatter of {100 * scatter:.3g} %"
    if scatter == 0:
        return Ruling(Answer.open, "neither cell's accuracy scatters", measured)
    test = scipy.stats.ttest_ind(accuracy["one"], accuracy["other"], equal_var=False)
    interval = test.confidence_interval(0.95)
    half = (interval.high - interval.low) / 2
    if abs(moved - scatter) < half:
        why = "mean accuracy, no difference shown between its shift and its scatter"
        return Ruling(Answer.open, why, measured)
    answer = Answer.holds if moved > scatter else Answer.fails
    return Ruling(answer, "mean accuracy (Welch interval)", measured)


def agree_at_first(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Whether the losses of differing runs have the same bits for at least ``limit`` steps."""
    assert claim.limit is not None
    cell = cells["it"]
    verdict, _ = verdict_of(cell)
    if not verdict.differs:
        return Ruling(Answer.open, f"{cell.id} did not vary ({verdict})")
    first = [step.loss for step in cell.completed[0].repeats[0].steps]
    agreeing = [
        next(
            (n for n, (a, b) in enumerate(zip(first, repeat.steps, strict=False)) if a != b.loss),
            len(first),
        )
        for _, repeat in cell.trainings()
    ][1:]
    measured = f"losses agree for {min(agreeing)} to {max(agreeing)} of {len(first)} steps"
    answer = Answer.holds if min(agreeing) >= claim.limit else Answer.fails
    return Ruling(answer, f"limit {claim.limit:g} steps ({cell.id})", measured)


def faster_each(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Whether the time per example is lower in one cell than in another.

    Decided if the 95 % interval of the ratio, paired by block, excludes 1. An interval within ±5 %
    around 1 also refutes the claim: the difference is negligible.
    """
    times = {
        role: {
            block: seconds / cell.cell.scenario.options["batch_size"]
            for block, seconds in by_block(cell.timings).items()
        }
        for role, cell in cells.items()
    }
    ratio = paired_ratio(times["one"], times["other"])
    if ratio is None:
        return Ruling(Answer.open, "fewer than two timing blocks in common")
    measured = f"{ratio.point:.3f} × ({ratio.low:.3f}–{ratio.high:.3f})"
    if ratio.high < 1:
        return Ruling(Answer.holds, "time per example, paired by block", measured)
    if ratio.low > 1 or ratio.within(EQUAL_WITHIN):
        return Ruling(Answer.fails, "time per example, paired by block", measured)
    return Ruling(Answer.open, "time per example, no difference shown", measured)
