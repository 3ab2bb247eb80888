"""Rules about sameness, and about what trainings tell of themselves."""

from __future__ import annotations

from typing import Any

from harness.analysis.claims.ruling import (
    MIN_RUNS,
    Answer,
    Cells,
    Rows,
    Ruling,
    describe_distances,
    describe_divergence,
    describe_sameness,
    negate,
    verdict_of,
)
from harness.analysis.study_data import CellData
from harness.core.claims import Claim, Fact
from harness.core.verdict import Verdict, final_key


def identical(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    cell = cells["it"]
    verdict, runs = verdict_of(cell)
    if verdict.differs:
        return Ruling(
            Answer.fails, describe_divergence(cell, table), describe_distances(cell, table)
        )
    if verdict is not Verdict.identical:
        return Ruling(Answer.open, f"{cell.id}: {verdict}")
    if runs < MIN_RUNS:
        return Ruling(Answer.open, f"sameness wants {MIN_RUNS} runs, and {cell.id} had {runs}")
    return Ruling(Answer.holds, describe_sameness(cell, table))


def varies(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Where the claim names a component, only a parting that begins there decides for it."""
    found = negate(identical(claim, cells, table))
    at = table[cells["it"].measured_id]["first_component"]
    if found.answer is Answer.holds and claim.component not in ("", at):
        why = f"{cells['it'].id} parts at {at} already, before {claim.component}"
        return Ruling(Answer.open, why, found.measured)
    return found


def refused(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    verdict, _ = verdict_of(cells["it"])
    operation = next((run.operation for run in cells["it"].all_runs if run.operation), None)
    if verdict is Verdict.refused:
        return Ruling(Answer.holds, f"{operation} was refused")
    if verdict in (Verdict.failed, Verdict.not_tested):
        return Ruling(Answer.open, f"{cells['it'].id}: {verdict}")
    return Ruling(Answer.fails, f"{cells['it'].id} ran: {verdict}")


def cured(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Only what varied untreated can be cured."""
    untreated, _ = verdict_of(cells["untreated"])
    if not untreated.differs:
        return Ruling(
            Answer.open,
            f"{cells['untreated'].id} did not vary ({untreated}), so there was nothing to cure",
        )
    found = identical(claim, {"it": cells["treated"]}, table)
    return Ruling(found.answer, f"{cells['untreated'].id} {untreated}; {found.why}", found.measured)


def unequal(claim: Claim, cells: Cells, table: Rows) -> Ruling:
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
        if number < MIN_RUNS and found.answer is not Answer.open:
            return Ruling(Answer.open, f"sameness wants {MIN_RUNS} runs, and {id_} had {number}")
    return negate(found)


def facts(claim: Claim, cells: Cells, table: Rows) -> Ruling:
    """Every training of every run must tell what the claim says."""
    told, measured = True, []
    for fact in claim.facts:
        values = _values_of(fact, cells[fact.cell])
        if not values:
            verdict, _ = verdict_of(cells[fact.cell])
            return Ruling(Answer.open, f"{cells[fact.cell].id} ({verdict}) tells no {fact.path}")
        told = told and all(_satisfies(fact, value) for value in values)
        shown = dict.fromkeys(_format_fact(value) for value in values)
        few = list(shown)[:3] + ["…"] * (len(shown) > 3)
        measured.append(
            f"{fact.path} = {' or '.join(few)} ({cells[fact.cell].cell.scenario.label})"
        )
    return Ruling(
        Answer.holds if told else Answer.fails, "what its trainings tell", "; ".join(measured)
    )


def _values_of(fact: Fact, cell: CellData) -> list[Any]:
    """What every training of the cell, traced or timed, tells under the fact's path."""
    told = [repeat.facts for _, repeat in cell.trainings()]
    told += [run.timed.facts for run in cell.timings if run.timed]
    return [value for one in told for value in _find_values(one, fact.path.split("."))]


def _find_values(tree: Any, path: list[str]) -> list[Any]:
    if not path:
        return [tree]
    step, rest = path[0], path[1:]
    if step == "[]":
        return [value for one in tree for value in _find_values(one, rest)]
    return _find_values(tree[step], rest) if isinstance(tree, dict) and step in tree else []


def _satisfies(fact: Fact, value: Any) -> bool:
    if fact.above is not None:
        return bool(value > fact.above)
    if fact.at_most is not None:
        return bool(value <= fact.at_most)
    return bool(value == fact.equals)


def _format_fact(value: Any) -> str:
    return f"{value:.17g}" if isinstance(value, float) else str(value)
