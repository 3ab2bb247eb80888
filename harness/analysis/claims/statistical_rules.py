"""Rules about spread and time; each decides by a limit, a test or an interval."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import scipy  # which loads scipy.stats when it is first used: a second

from harness.analysis.claims.ruling import MIN_RUNS, Answer, Cells, Rows, Ruling, negate, verdict_of
from harness.analysis.cost import EQUAL_WITHIN, by_block, paired_ratio
from harness.analysis.study_data import CellData
from harness.core.claims import Claim
from harness.core.record import Repeat
from harness.core.steps import first_difference
from harness.core.verdict import find_divergence


def spread_at_most(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Whether no last loss differs from that of the first run by more than ``limit``, relatively.

    The first training of each process counts, of ``claim.runs`` processes if the published figure
    is about so many. The largest deviation grows with the number of runs: one that exceeds the
    limit refutes the claim, and one that does not supports it for as many runs as there are.
    """
    assert claim.limit is not None
    cell = cells["it"]
    verdict, _ = verdict_of(cell)
    if not verdict.differs:
        return Ruling(Answer.open, f"{cell.id} did not vary ({verdict})")
    trainings = [run.repeats[0] for run in cell.completed][: claim.runs]
    losses = [float(training.losses[-1]) for training in trainings if training.losses]
    if len(losses) < 2 or not all(map(math.isfinite, losses)) or losses[0] == 0:
        return Ruling(Answer.open, f"{cell.id} has no losses to compare")
    deviation = max(abs(loss - losses[0]) for loss in losses) / abs(losses[0])
    runs, limit = len(losses), f"limit {100 * claim.limit:g} %"
    measured = f"{100 * deviation:.4g} % ({cell.id})"
    if deviation > claim.limit:
        return Ruling(Answer.fails, f"{limit}, exceeded in {runs} runs", measured)
    if claim.runs is not None and runs >= claim.runs:
        return Ruling(Answer.holds, f"{limit}, not exceeded in {runs} runs", measured)
    if runs < MIN_RUNS:
        why = f"needs at least {MIN_RUNS} runs; {cell.id} has {runs}"
        return Ruling(Answer.open, why, measured)
    return Ruling(Answer.holds, f"{limit}, not exceeded in {runs} runs", measured)


def spread_above(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Whether two runs differ by more than ``limit``; if none do, more runs still might."""
    ruling = negate(spread_at_most(claim, cells, table))
    return replace(ruling, answer=Answer.open) if ruling.answer is Answer.fails else ruling


def grows(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Whether the losses of two runs are further apart at the last step than where they first are.

    Decided by a sign test over pairs of runs, none of which is in two pairs.
    """
    cell = cells["it"]
    verdict, _ = verdict_of(cell)
    if not verdict.differs:
        return Ruling(Answer.open, f"{cell.id} did not vary ({verdict})")
    gaps = [
        [abs(float(x) - float(y)) for x, y in zip(a.losses, b.losses, strict=False)]
        for a, b in _pairs_of_trainings(cell)
    ]
    pairs = [(next(gap for gap in row if gap), row[-1]) for row in gaps if any(row[:-1])]
    changes = [last - first for first, last in pairs if last != first]
    if not changes:
        return Ruling(Answer.open, f"{cell.id} has no losses that differ at two steps")
    grown = sum(change > 0 for change in changes)
    first, last = (float(np.median(distances)) for distances in zip(*pairs, strict=True))
    measured = f"losses {first:.2g} apart at first, {last:.2g} at the last step (medians)"
    why = f"losses drift apart in {grown} of {len(changes)} pairs of runs of {cell.id} (sign test)"
    if scipy.stats.binomtest(grown, len(changes)).pvalue > 0.05:
        return Ruling(Answer.open, f"{why}, not decided", measured)
    return Ruling(Answer.holds if grown > len(changes) / 2 else Answer.fails, why, measured)


def _pairs_of_trainings(cell: CellData) -> list[tuple[Repeat, Repeat]]:
    """Pair the first trainings of runs, each in one pair: only so are comparisons independent."""
    trainings = [run.repeats[0] for run in cell.completed]
    return list(zip(trainings[::2], trainings[1::2], strict=False))


def spread_larger(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Whether the variance of held-out accuracy is larger in one cell than in another (F-test).

    Decided if the two-sided 95 % interval of the ratio of variances excludes 1, assuming normal
    accuracies (Snedecor and Cochran, Statistical Methods), one from each process. If all of one
    cell are equal there is no variance to test, and any spread is larger.
    """
    known = {role: _first_accuracies(cells[role]) for role in ("one", "other")}
    runs = {role: len(values) for role, values in known.items()}
    if min(runs.values()) < MIN_RUNS:
        return Ruling(Answer.open, f"accuracy spread needs at least {MIN_RUNS} runs per cell")
    sds = {role: float(np.std(values, ddof=1)) for role, values in known.items()}
    measured = f"{100 * sds['one']:.3g} % against {100 * sds['other']:.3g} %"
    equal = [role for role, values in known.items() if len(set(values)) == 1]
    if len(equal) == 1:
        answer = Answer.holds if equal == ["other"] else Answer.fails
        cell = cells[equal[0]].id
        return Ruling(answer, f"all {runs[equal[0]]} accuracies of {cell} are equal", measured)
    least, most = scipy.stats.f.ppf([0.025, 0.975], runs["one"] - 1, runs["other"] - 1)
    ratio = (sds["one"] / sds["other"]) ** 2 if sds["other"] else 1.0
    if least < ratio < most:
        why = f"accuracy spreads, no difference shown in {min(runs.values())} runs each"
        return Ruling(Answer.open, why, measured)
    answer = Answer.holds if ratio >= most else Answer.fails
    return Ruling(answer, "accuracy spreads (F-test)", measured)


def _first_accuracies(cell: CellData) -> list[float]:
    known = [run.repeats[0].accuracy for run in cell.completed]
    return [value for value in known if value is not None]


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
        accuracy[role] = _first_accuracies(cells[role])
        if len(accuracy[role]) < MIN_RUNS:
            return Ruling(Answer.open, f"mean accuracy needs at least {MIN_RUNS} runs per cell")
    scatter = max(float(np.std(values, ddof=1)) for values in accuracy.values())
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
    """Whether most pairs of runs that differ have equal losses for at least ``limit`` steps.

    No run is in two pairs. Decided if the 95 % interval of the share of pairs that do (Clopper and
    Pearson 1934) excludes one half.
    """
    assert claim.limit is not None
    cell = cells["it"]
    verdict, _ = verdict_of(cell)
    if not verdict.differs:
        return Ruling(Answer.open, f"{cell.id} did not vary ({verdict})")
    pairs = [pair for pair in _pairs_of_trainings(cell) if find_divergence(*pair)]
    if not pairs:
        return Ruling(Answer.open, f"{cell.id}: no two runs that were paired differ")
    agreeing = [_equal_losses(*pair) for pair in pairs]
    enough = sum(steps >= claim.limit for steps in agreeing)
    measured = f"losses agree for {min(agreeing)} to {max(agreeing)} steps"
    why = f"{enough} of {len(agreeing)} pairs of runs of {cell.id} agree for {claim.limit:g} steps"
    share = scipy.stats.binomtest(enough, len(agreeing)).proportion_ci(0.95)
    if share.low <= 0.5 <= share.high:
        return Ruling(Answer.open, f"{why}, not decided", measured)
    return Ruling(Answer.holds if share.low > 0.5 else Answer.fails, why, measured)


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
    ratio = paired_ratio(times["one"], times["other"], first=cells["one"].first_blocks)
    if ratio is None:
        return Ruling(Answer.open, "fewer than two timing blocks in common")
    measured = f"{ratio.point:.3f} × ({ratio.low:.3f}–{ratio.high:.3f})"
    if ratio.high < 1:
        return Ruling(Answer.holds, "time per example, paired by block", measured)
    if ratio.low > 1 or ratio.within(EQUAL_WITHIN):
        return Ruling(Answer.fails, "time per example, paired by block", measured)
    return Ruling(Answer.open, "time per example, no difference shown", measured)


def _equal_losses(a: Repeat, b: Repeat) -> int:
    """How many steps have equal losses before the first that differs."""
    first = first_difference(a.steps.column("loss"), b.steps.column("loss"))
    return len(a.steps) if first is None else first
