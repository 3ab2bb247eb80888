"""Rules that compare bits, or facts that the scenario records."""

from __future__ import annotations

from typing import Any

from harness.analysis.claims.ruling import (
    MIN_RUNS,
    Answer,
    Cells,
    Rows,
    Ruling,
    check_component,
    describe_distances,
    describe_divergence,
    describe_sameness,
    negate,
    verdict_of,
)
from harness.analysis.study_data import CellData
from harness.core.agreement import Agreement
from harness.core.claims import Claim, Fact
from harness.core.verdict import Verdict, final_key


def identical(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Whether runs agree. A claim about a class of trainings names further cells of the class."""
    rulings = [_identical(cell, table) for cell in cells.values()]
    for answer in (Answer.fails, Answer.open):
        if decisive := next((ruling for ruling in rulings if ruling.answer is answer), None):
            return decisive
    return Ruling(Answer.holds, "; ".join(ruling.why for ruling in rulings))


def _identical(cell: CellData, table: Rows) -> Ruling:
    verdict, runs = verdict_of(cell)
    if verdict.differs:
        return Ruling(
            Answer.fails, describe_divergence(cell, table), describe_distances(cell, table)
        )
    if verdict is not Verdict.identical:
        return Ruling(Answer.open, f"{cell.id}: {verdict}")
    if runs < MIN_RUNS:
        return Ruling(Answer.open, f"needs at least {MIN_RUNS} runs; {cell.id} has {runs}")
    return Ruling(Answer.holds, describe_sameness(cell, table))


def varies(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Whether runs differ; if the claim names a component, they must first diverge there.

    Runs that agree do not refute it: what is rare may not have been seen.
    """
    ruling = negate(identical(claim, cells, table))
    if ruling.answer is Answer.fails:
        row = table[cells["it"].measured_id]
        rate = f"{100 * row['divergence_rate_upper']:.2g} %"
        return Ruling(Answer.open, f"not seen in {row['trace_runs']} runs (rate at most {rate})")
    elsewhere = check_component(claim.component, cells["it"])
    return elsewhere if ruling.answer is Answer.holds and elsewhere else ruling


def refused(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    verdict, _ = verdict_of(cells["it"])
    operation = next((run.operation for run in cells["it"].all_runs if run.operation), None)
    if verdict is Verdict.refused:
        return Ruling(Answer.holds, f"{operation} was refused")
    if verdict in (Verdict.failed, Verdict.not_tested):
        return Ruling(Answer.open, f"{cells['it'].id}: {verdict}")
    return Ruling(Answer.fails, f"{cells['it'].id} was not refused: {verdict}")


def cured(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Whether the treated cell is identical; undecided unless the untreated cell varies.

    The two cells differ in the claimed factor alone. If the claim names a component, the untreated
    cell must first diverge there, or the treatment would be given credit for something else.
    """
    untreated, _ = verdict_of(cells["untreated"])
    if not untreated.differs:
        why = f"{cells['untreated'].id} did not vary ({untreated}), so there is nothing to fix"
        return Ruling(Answer.open, why)
    if elsewhere := check_component(claim.component, cells["untreated"]):
        return elsewhere
    treated = identical(claim, {"it": cells["treated"]}, table)
    why = f"{cells['untreated'].id} {untreated}; {treated.why}"
    return Ruling(treated.answer, why, treated.measured)


def unequal(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Whether the results of two cells differ, if each cell is identical."""
    results = {}
    for role in ("one", "other"):
        verdict, _ = verdict_of(cells[role])
        if verdict is not Verdict.identical:
            return Ruling(Answer.open, f"{cells[role].id}: {verdict}, so it has no single result")
        results[role] = final_key(cells[role].completed[0].repeats[0].final)
    if results["one"] != results["other"]:
        return Ruling(Answer.holds, "each cell has a single result, and the two differ")
    return Ruling(Answer.fails, "both cells have the same bits")


def equal(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Whether the results of two cells are the same bits, if each is identical in enough runs."""
    difference = unequal(claim, cells, table)
    runs = {cells[role].id: verdict_of(cells[role])[1] for role in ("one", "other")}
    for id_, number in runs.items():
        if number < MIN_RUNS and difference.answer is not Answer.open:
            return Ruling(Answer.open, f"needs at least {MIN_RUNS} runs; {id_} has {number}")
    return negate(difference)


def facts(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Whether every training of every run recorded the facts that the claim states."""
    holds, measured = True, []
    for fact in claim.facts:
        values = _values_of(fact, cells[fact.cell])
        if not values:
            verdict, _ = verdict_of(cells[fact.cell])
            return Ruling(Answer.open, f"{cells[fact.cell].id} ({verdict}) recorded no {fact.path}")
        holds = holds and all(_satisfies(fact, value) for value in values)
        distinct = list(dict.fromkeys(_format_fact(value) for value in values))
        shown = " or ".join(distinct[:3] + ["…"] * (len(distinct) > 3))
        measured.append(f"{fact.path} = {shown} ({cells[fact.cell].cell.scenario.label})")
    answer = Answer.holds if holds else Answer.fails
    return Ruling(answer, "facts that its trainings recorded", "; ".join(measured))


def fact_cured(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Whether all runs of the treated cell record the same, if those of the untreated do not."""
    (fact,) = claim.facts
    agreement = {}
    for role, cell in cells.items():
        values = [
            tuple(_find_values(run.repeats[0].facts, fact.path.split(".")))
            for run in cell.completed
        ]
        if not any(values):
            return Ruling(Answer.open, f"{cell.id} recorded no {fact.path}")
        agreement[role] = Agreement.of(values)
    untreated, treated = agreement["untreated"], agreement["treated"]
    if not untreated.differing:
        why = f"{fact.path} of {cells['untreated'].id} did not vary, so there is nothing to fix"
        return Ruling(Answer.open, why)
    if treated.processes < MIN_RUNS:
        why = f"needs at least {MIN_RUNS} runs; {cells['treated'].id} has {treated.processes}"
        return Ruling(Answer.open, why)
    why = (
        f"{fact.path}: {untreated.describe()} in {cells['untreated'].id}, {treated.describe()} in "
        f"{cells['treated'].id}"
    )
    return Ruling(Answer.fails if treated.differing else Answer.holds, why)


def _values_of(fact: Fact, cell: CellData) -> list[Any]:
    """Return the values at the fact's path from every training of the cell, traced or timed."""
    trees = [repeat.facts for _, repeat in cell.trainings()]
    trees += [run.timed.facts for run in cell.timings if run.timed]
    return [value for tree in trees for value in _find_values(tree, fact.path.split("."))]


def _find_values(tree: Any, path: list[str]) -> list[Any]:
    if not path:
        return [tree]
    step, rest = path[0], path[1:]
    if step == "[]":
        return [value for item in tree for value in _find_values(item, rest)]
    return _find_values(tree[step], rest) if isinstance(tree, dict) and step in tree else []


def _satisfies(fact: Fact, value: Any) -> bool:
    if fact.above is not None:
        return bool(value > fact.above)
    if fact.at_most is not None:
        return bool(value <= fact.at_most)
    return bool(value == fact.equals)


def _format_fact(value: Any) -> str:
    return f"{value:.17g}" if isinstance(value, float) else str(value)
