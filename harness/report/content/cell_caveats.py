"""Caveats of one cell: how its runs ended, what was not in effect, not measured or not compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.analysis.study_data import CellData
from harness.core.effective import overridden_switches
from harness.core.record import Outcome, RunRecord
from harness.core.verdict import SEEN_WHEN_TIMED
from harness.report.content.basis import FILES, unobserved_basis
from harness.report.format import plural

MAX_NAMES = 8  # files named in one sentence


@dataclass(frozen=True)
class Caveat:
    what: str
    advice: str
    is_note: bool = False  # good to know, but no figure is weaker for it


def cell_caveats(cell: CellData) -> Iterator[Caveat]:
    outcomes = Counter(run.outcome for run in cell.all_runs)
    for outcome in (
        Outcome.nan,
        Outcome.timeout,
        Outcome.crashed,
        Outcome.observer_failed,
        Outcome.lost,
        Outcome.contended,
    ):
        if outcomes[outcome]:
            first = next(run for run in cell.all_runs if run.outcome is outcome)
            runs = plural(outcomes[outcome], "run")
            yield Caveat(f"{cell.id}: {runs} {ENDINGS[outcome]}{because(first)}", ADVICE[outcome])
    if cell.judgement.note == SEEN_WHEN_TIMED:
        yield Caveat(
            f"{cell.id}: a timing run ended with different bits than the trace runs.",
            "Either runs diverge rarely, or recording changes the result. Raise runs.trace.",
        )
    for name, requested, effective in _overridden_switches(cell):
        yield Caveat(
            f"{cell.id}: requested {name}={requested}, effective {effective}.",
            "The scenario or the environment overrides the setting; `effective` in the run record "
            "lists all values.",
        )
    if cell.unmeasured and cell.cell.perturbed is None:  # `perturb` compares only bits
        yield Caveat(
            f"{cell.id}: runs diverged, but their distance was not measured.",
            "Set trace.keep_snapshots=true to keep the parameters that distances are measured on.",
        )
    yield from _script_caveats(cell)
    untrained = {
        name
        for _, repeat in cell.trainings()
        for name, facts in repeat.facts.items()
        if isinstance(facts, dict) and facts.get("weights_changed") is False
    }
    if untrained:
        yield Caveat(
            f"{cell.id}: a network was never trained ({list_names(sorted(untrained))}): in every "
            "run it ends with the weights that it began with.",
            "Its optimizer holds the parameters of another network: give it those of this one.",
        )
    if any(
        repeat.facts.get("nearest_equals_expand_forward") is False for _, repeat in cell.trainings()
    ):
        yield Caveat(
            f"{cell.id}: `expand` and nearest `interpolate` give different bits in the forward "
            "pass.",
            "Do not replace one by the other on this device.",
            is_note=True,
        )


def _script_caveats(cell: CellData) -> Iterator[Caveat]:
    """Caveats about what was not digested, and about the files that runs wrote."""
    written = [repeat.facts.get("files", {}) for _, repeat in cell.trainings()]
    names = sorted({name for files in written for name in files})
    differing = [name for name in names if len({files.get(name) for files in written}) > 1]
    if differing:
        yield Caveat(
            f"{cell.id}: written files differ between runs: {list_names(differing)}.",
            "They decide the verdict, since no training was observed. If they differ only in a "
            "date or a duration, declare the result by harness.observe(name=value)."
            if FILES in unobserved_basis(cell)
            else "They do not affect the verdict. Check whether they differ only in a date or a "
            "duration.",
        )
    if basis := unobserved_basis(cell):
        yield Caveat(
            f"{cell.id}: no training step was observed; runs are compared by {basis}.",
            "A training in a process that the script starts is not observed: declare its result "
            "by harness.observe(name=value), or name the program that trains after `--`.",
        )
    undigested = {
        what for _, repeat in cell.trainings() for what in repeat.facts.get("not digested", [])
    }
    if undigested:
        yield Caveat(
            f"{cell.id}: not compared, since it has no defined bits: "
            f"{list_names(sorted(undigested))}.",
            "A difference in it alone is not seen. Pass its tensors, numbers or text instead, or "
            "declare them by harness.observe(name=value).",
        )
    timed = [run.timed.facts for run in cell.all_runs if run.timed]
    all_facts = [repeat.facts for _, repeat in cell.trainings()] + timed
    changed = sorted({name for facts in all_facts for name in facts.get("touched", [])})
    if changed:
        yield Caveat(
            f"{cell.id}: files changed outside the script's private copy: {list_names(changed)}.",
            "The script or another program wrote there during a run, so runs may not have started "
            "from the same files.",
        )


def list_names(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return f"{', '.join(names[:MAX_NAMES])}{more}"


ENDINGS = {
    Outcome.refused: "called an operation that has no deterministic implementation",
    Outcome.nan: "ended with a loss that is not finite",
    Outcome.timeout: "exceeded launch.timeout_s",
    Outcome.crashed: "crashed",
    Outcome.observer_failed: "could not be observed to the end",
    Outcome.lost: "were killed from outside",
    Outcome.contended: "shared the GPU with another process, so their times do not count",
}
ADVICE = {
    Outcome.nan: "Their digests count as evidence. Try a smaller learning rate.",
    Outcome.timeout: "Raise launch.timeout_s, or check logs/ for why they hang.",
    Outcome.observer_failed: "The training itself was not disturbed. Please report this problem, "
    "with the record of the run in runs/.",
    Outcome.crashed: "See the record of the run in runs/ and its output in logs/.",
    Outcome.lost: "`python -m harness resume` repeats them. Find out what kills processes here.",
    Outcome.contended: "Measure on a GPU that nothing else uses.",
}


def because(run: RunRecord) -> str:
    """The reason of a failure after a colon; empty if none is known."""
    return f": {run.reason}" if run.reason else ""


def _overridden_switches(cell: CellData) -> list[tuple[str, Any, Any]]:
    """Switches whose effective value at the end of a run was not the requested one.

    A script that seeds itself, as most do, is not worth a warning; nor is what `perturb` varied.
    """
    if cell.cell.perturbed:
        return []
    expected = {"seed"} if cell.cell.scenario.framework == "script" else set()
    overridden: dict[str, tuple[Any, Any]] = {}
    for run in cell.all_runs:
        overridden |= overridden_switches(run)
    return [(name, *values) for name, values in overridden.items() if name not in expected]
