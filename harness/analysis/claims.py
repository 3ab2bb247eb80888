"""Each claim judged by this study's runs: it holds here, it does not, or it cannot be told.

A rule reads the cells that the claim names and gives a ruling. Sameness needs at least ``ENOUGH``
runs and carries its bound; a cure needs something that was ill.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pandas as pd
from scipy import stats

from harness.analysis.evidence import CellEvidence, StudyEvidence
from harness.analysis.verdict import Verdict, final_key, judge
from harness.claims import Claim, Fact

ENOUGH = 10  # runs, for sameness; a fresh one may still differ with a chance of 28 %


class Answer(StrEnum):
    holds = "holds here"
    fails = "does not hold here"
    open = "cannot be decided here"


# The answer to the opposite of a claim.
SWAPPED = {Answer.holds: Answer.fails, Answer.fails: Answer.holds, Answer.open: Answer.open}


@dataclass(frozen=True)
class Ruling:
    """``measured`` is our figure, to stand beside the published one; ``why`` says what decided."""

    answer: Answer
    why: str
    measured: str = ""


Cells = dict[str, CellEvidence]
Rows = dict[str, dict[str, Any]]  # the cell table by cell, without the twins


def claims_table(study: StudyEvidence, cells: pd.DataFrame) -> pd.DataFrame:
    """A row for each claim, with the cells that it rests on; none where the study had no claims."""
    rows = []
    table = {str(row["cell"]): {str(key): value for key, value in row.items()}
             for row in cells[~cells["twin"]].to_dict("records")}  # fmt: skip
    for document in study.manifest.get("claims", ()):
        claim = Claim.from_json(document)
        ruling = judged(claim, study, table)
        rows.append(
            {
                "claim": claim.name,
                "source": claim.source,
                "says": claim.says,
                "answer": str(ruling.answer),
                "why": ruling.why,
                "measured": ruling.measured,
                "published": claim.published,
                "cells": " ".join(claim.cells.values()),
            }
        )
    return pd.DataFrame(rows)


def judged(claim: Claim, study: StudyEvidence, table: Rows) -> Ruling:
    if claim.rule == "no_experiment":
        return Ruling(Answer.open, claim.why)
    if not claim.is_for(study.manifest["device"]):
        return Ruling(Answer.open, f"it speaks of {claim.needs.upper()} devices, and this study "
                      f"ran on {study.manifest['device'].upper()}")  # fmt: skip
    missing = study.manifest.get("missing", {})  # older studies had nothing to miss
    if why := next((missing[id_] for id_ in claim.cells.values() if id_ in missing), None):
        return Ruling(Answer.open, why)
    known = {cell.id: cell for cell in study.cells}
    cells = {role: known[id_] for role, id_ in claim.cells.items() if id_ in known}
    if cells.keys() != claim.cells.keys():
        return Ruling(Answer.open, "its cells were not part of this study")
    return RULES[claim.rule](claim, cells, table)


def identical(claim: Claim, cells: Cells, table: Rows) -> Ruling:  # noqa: ARG001
    cell = cells["it"]
    verdict, runs = verdict_of(cell)
    if verdict.differs:
        return Ruling(Answer.fails, f"{cell.id} {verdict}", distances(cell, table))
    if verdict is not Verdict.identical:
        return Ruling(Answer.open, f"{cell.id}: {verdict}")
    if runs < ENOUGH:
        return Ruling(Answer.open, f"sameness wants {ENOUGH} runs, and {cell.id} had {runs}")
    return Ruling(Answer.holds, sameness(cell, table))


def varies(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    found = identical(claim, cells, table)
    return Ruling(SWAPPED[found.answer], found.why, found.measured)


def refused(claim: Claim, cells: Cells, table: Rows) -> Ruling:  # noqa: ARG001
    verdict, _ = verdict_of(cells["it"])
    operation = next((run.operation for run in cells["it"].every if run.operation), None)
    if verdict is Verdict.refused:
        return Ruling(Answer.holds, f"{operation} was refused")
    if verdict in (Verdict.failed, Verdict.not_tested):
        return Ruling(Answer.open, f"{cells['it'].id}: {verdict}")
    return Ruling(Answer.fails, f"{cells['it'].id} ran: {verdict}")


def cured(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Only what varied untreated can be cured."""
    untreated, _ = verdict_of(cells["untreated"])
    if not untreated.differs:
        return Ruling(Answer.open, f"{cells['untreated'].id} did not vary ({untreated}), so there "
                      "was nothing to cure")  # fmt: skip
    found = identical(claim, {"it": cells["treated"]}, table)
    return Ruling(found.answer, f"{cells['untreated'].id} {untreated}; {found.why}", found.measured)


def unequal(claim: Claim, cells: Cells, table: Rows) -> Ruling:  # noqa: ARG001
    """Two cells, each of which gives one result only: are the two results the same?"""
    ends = {}
    for role in ("one", "other"):
        verdict, _ = verdict_of(cells[role])
        if verdict is not Verdict.identical:
            return Ruling(Answer.open, f"{cells[role].id}: {verdict}, so it has no one result")
        ends[role] = final_key(cells[role].completed[0].repeats[0].final)
    if ends["one"] != ends["other"]:
        return Ruling(Answer.holds, "each gives one result, and the two differ")
    return Ruling(Answer.fails, "both give the same bits")


def equal(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Two cells, each of which gives one result in enough runs: are the two results the same?"""
    found = unequal(claim, cells, table)
    runs = {cells[role].id: verdict_of(cells[role])[1] for role in ("one", "other")}
    for id_, number in runs.items():
        if number < ENOUGH and found.answer is not Answer.open:
            return Ruling(Answer.open, f"sameness wants {ENOUGH} runs, and {id_} had {number}")
    return Ruling(SWAPPED[found.answer], found.why, found.measured)


def facts(claim: Claim, cells: Cells, table: Rows) -> Ruling:  # noqa: ARG001
    """Every training of every run must tell what the claim says."""
    told, measured = True, []
    for fact in claim.facts:
        values = values_of(fact, cells[fact.cell])
        if not values:
            verdict, _ = verdict_of(cells[fact.cell])
            return Ruling(Answer.open, f"{cells[fact.cell].id} ({verdict}) tells no {fact.path}")
        told = told and all(satisfies(fact, value) for value in values)
        shown = dict.fromkeys(in_words(value) for value in values)
        few = list(shown)[:3] + ["…"] * (len(shown) > 3)
        measured.append(
            f"{fact.path} = {' or '.join(few)} ({cells[fact.cell].cell.scenario.label})"
        )
    return Ruling(Answer.holds if told else Answer.fails, "what its trainings tell",
                  "; ".join(measured))  # fmt: skip


def spread_at_most(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """The last loss's (max − min) / mean, where runs do differ."""
    assert claim.limit is not None
    cell = cells["it"]
    verdict, _ = verdict_of(cell)
    if not verdict.differs:
        return Ruling(Answer.open, f"{cell.id} did not vary ({verdict})")
    spread = float(table[id_of(cell)]["loss_spread"])
    if math.isnan(spread):
        return Ruling(Answer.open, f"{cell.id} has no spread of losses")
    answer = Answer.holds if spread <= claim.limit else Answer.fails
    return Ruling(answer, f"limit {100 * claim.limit:g} %", f"{100 * spread:.4g} % ({cell.id})")


def spread_above(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    found = spread_at_most(claim, cells, table)
    return Ruling(SWAPPED[found.answer], found.why, found.measured)


def grows(claim: Claim, cells: Cells, table: Rows) -> Ruling:  # noqa: ARG001
    """Whether runs that part lie further apart at the last step than at the first one kept."""
    cell = cells["it"]
    verdict, _ = verdict_of(cell)
    if not verdict.differs:
        return Ruling(Answer.open, f"{cell.id} did not vary ({verdict})")
    by_step: dict[int, float] = {}
    for run in cell.completed:
        for steps in cell.trajectories(run) or []:
            for step, one in steps.items():
                by_step[int(step)] = max(by_step.get(int(step), 0.0), float(one["rel_l2"]))
    if len(by_step) < 2:
        return Ruling(Answer.open, f"{cell.id} has no distances at two steps")
    first, last = min(by_step), max(by_step)
    answer = Answer.holds if by_step[last] > by_step[first] else Answer.fails
    measured = f"{by_step[first]:.2g} at step {first}, {by_step[last]:.2g} at step {last}"
    return Ruling(answer, f"largest distance of weights in {cell.id}", measured)


def spread_larger(claim: Claim, cells: Cells, table: Rows) -> Ruling:  # noqa: ARG001
    """Variance of held-out accuracy over one cell's runs against another's, by the F-test.

    Decided where the two-sided 95 % interval of the ratio of variances excludes 1 (normal
    accuracies: Snedecor and Cochran, Statistical Methods); against a spread of exactly 0 any is
    larger.
    """
    runs = {role: verdict_of(cells[role])[1] for role in ("one", "other")}
    sds = {role: float(table[id_of(cells[role])]["accuracy_sd"]) for role in runs}
    if any(map(math.isnan, sds.values())) or min(runs.values()) < ENOUGH:
        return Ruling(Answer.open, f"a spread of accuracy wants {ENOUGH} runs of each")
    measured = f"{100 * sds['one']:.3g} % against {100 * sds['other']:.3g} %"
    freedom = runs["one"] - 1, runs["other"] - 1
    least, most = stats.f.ppf([0.025, 0.975], *freedom)
    ratio = (sds["one"] / sds["other"]) ** 2 if sds["other"] else math.inf
    if sds["one"] == sds["other"] or least < ratio < most:
        why = f"standard deviations of accuracy, not told apart in {min(runs.values())} runs each"
        return Ruling(Answer.open, why, measured)
    answer = Answer.holds if ratio >= most else Answer.fails
    return Ruling(answer, "standard deviations of accuracy, told apart by an F-test", measured)


def not_dearer(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Decided where the whole interval of the cost lies on one side of the limit."""
    assert claim.limit is not None
    row = table[id_of(cells["it"])]
    ratio, low, high = (float(row[name]) for name in ("cost_ratio", "cost_low", "cost_high"))
    if math.isnan(ratio):
        return Ruling(Answer.open, f"{cells['it'].id} has no cost of its own here")
    measured = f"{ratio:.3f} × ({low:.3f}–{high:.3f})"
    if low <= claim.limit < high:
        return Ruling(Answer.open, f"the interval spans the limit {claim.limit:g}", measured)
    answer = Answer.holds if high <= claim.limit else Answer.fails
    return Ruling(answer, f"limit {claim.limit:g} ×", measured)


RULES: dict[str, Callable[[Claim, Cells, Rows], Ruling]] = {
    "identical": identical,
    "varies": varies,
    "refused": refused,
    "cured": cured,
    "unequal": unequal,
    "equal": equal,
    "facts": facts,
    "spread_at_most": spread_at_most,
    "spread_above": spread_above,
    "grows": grows,
    "spread_larger": spread_larger,
    "not_dearer": not_dearer,
}


def verdict_of(cell: CellEvidence) -> tuple[Verdict, int]:
    judgement = judge(cell.traces, [*cell.timings, *cell.twins])
    return judgement.verdict, judgement.completed


def id_of(cell: CellEvidence) -> str:
    return cell.same_as or cell.id


def sameness(cell: CellEvidence, table: Rows) -> str:
    row = table[id_of(cell)]
    return (f"{cell.id}: one digest in {row['trace_runs']} runs (a fresh run differs with a chance "
            f"of at most {100 * row['divergence_rate_upper']:.2g} %)")  # fmt: skip


def distances(cell: CellEvidence, table: Rows) -> str:
    row = table[id_of(cell)]
    return f"loss spread {100 * row['loss_spread']:.3g} %, weights {row['weight_rel_l2']:.2g}"


def values_of(fact: Fact, cell: CellEvidence) -> list[Any]:
    """What every training of the cell, traced or timed, tells under the fact's path."""
    told = [repeat.facts for _, repeat in cell.trainings()]
    told += [run.timed.facts for run in cell.timings if run.timed]
    return [value for one in told for value in reached(one, fact.path.split("."))]


def reached(tree: Any, path: list[str]) -> list[Any]:
    if not path:
        return [tree]
    step, rest = path[0], path[1:]
    if step == "[]":
        return [value for one in tree for value in reached(one, rest)]
    return reached(tree[step], rest) if isinstance(tree, dict) and step in tree else []


def satisfies(fact: Fact, value: Any) -> bool:
    if fact.above is not None:
        return bool(value > fact.above)
    if fact.at_most is not None:
        return bool(value <= fact.at_most)
    return bool(value == fact.equals)


def in_words(value: Any) -> str:
    return f"{value:.17g}" if isinstance(value, float) else str(value)
