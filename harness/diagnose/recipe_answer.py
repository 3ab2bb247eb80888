"""The result of `recipe`, as a JSON document for the report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.binomial import divergence_rate_upper
from harness.core.command_line import command, split_words
from harness.core.exit_codes import DONE, FAILED
from harness.core.files import write_json
from harness.core.frameworks import independent_runs
from harness.core.paths import RECIPE
from harness.core.record import RunRecord
from harness.core.spec import Cell
from harness.core.steps import COMPONENTS
from harness.core.verdict import Verdict, earliest_divergence, judge
from harness.diagnose.recipe_search import RecipeSearch
from harness.diagnose.recipe_switches import with_setting

# A set without the seed of one generator would otherwise always differ in "rng" first.
COMPARED = tuple(name for name in COMPONENTS if name != "rng")


@dataclass(frozen=True)
class Evidence:
    """What happened in a cell."""

    cell: str
    verdict: str
    agrees: bool
    runs: int  # independent ones
    differ: str  # how many processes, in words
    step: int | None  # of the first divergence
    component: str
    failure: str  # of the first run that did not complete


@dataclass(frozen=True)
class Recipe:
    """``kept`` are the necessary switches with their values; empty ``cell``: there is no recipe."""

    cell: str
    full: str  # the cell that is timed for all switches
    kept: Mapping[str, Any]
    without: Mapping[str, Evidence]  # by the switch that was left out; "" : none
    unneeded: Sequence[str]
    without_effect: Sequence[str]  # of the setting, on this device
    out_of_reach: Sequence[str]  # that cannot be set from outside the program
    refused: str  # why `algorithms=require` was not searched; else empty
    overridden: Mapping[str, Any]  # switches that the program sets itself, with its values
    runs: int  # independent runs that agree
    rate: float  # upper bound on the chance that a fresh process differs
    screen: int  # runs by which each set was judged
    missed: float  # a difference as rare as this can have been missed in each
    sets: int  # that were tried
    # in place of deterministic algorithms, by the override that does it
    alternatives: Mapping[str, Evidence] = field(default_factory=dict)
    contradictions: Sequence[tuple[list[str], list[str]]] = ()
    added: Mapping[str, str] = field(default_factory=dict)  # cell of `seed` and this switch
    taken: Mapping[str, str] = field(default_factory=dict)  # cell of all but this switch
    # the cell whose cost is that of a set, by the cell of the set: they differ in seeds alone
    timed_as: Mapping[str, str] = field(default_factory=dict)
    words: Sequence[str] = ()

    @property
    def exit_status(self) -> int:
        return DONE if self.cell else FAILED

    def write(self, folder: Path) -> None:
        document = dataclasses.asdict(self)
        document["diagnose"] = command(["diagnose", *_without_own(self.words[1:])])
        write_json(folder / RECIPE, document)

    def show(self) -> None:
        """The report has said it all."""


def describe_search(search: RecipeSearch) -> Recipe:
    """Return what the search has found, and with what evidence."""
    switches, kept, everything = search.switches, search.kept, search.everything
    known = Recipe(
        cell="",
        full="",
        kept={},
        without={},
        unneeded=[],
        without_effect=switches.without_effect,
        out_of_reach=switches.out_of_reach,
        refused=search.refused,
        overridden=search.overridden,
        runs=0,
        rate=1.0,
        screen=search.screen,
        missed=divergence_rate_upper(search.screen),
        sets=len(search.answers),
        words=search.experiment.request.words,
    )
    if kept is None:
        without = {"": _evidence(search, switches.cell(everything))}
        return dataclasses.replace(known, without=without)
    independent = independent_runs(search.runs[switches.cell(kept).id])
    values = {name: switches.value(name) for name in switches.ordered(kept)}
    return dataclasses.replace(
        known,
        cell=switches.cell(kept).id,
        full=search.timed_as(everything).id,
        kept=values,
        without={name: _evidence(search, switches.cell(kept - {name})) for name in values},
        unneeded=[name for name in switches.names if name not in kept],
        runs=independent,
        rate=divergence_rate_upper(independent),
        alternatives={
            f"{one.name}={one.value}": _evidence(search, one.cell) for one in search.alternatives
        },
        contradictions=[
            (switches.ordered(smaller), switches.ordered(larger))
            for smaller, larger in search.contradictions
        ],
        added={name: search.timed_as(frozenset({name})).id for name in switches.with_cost},
        taken={name: search.timed_as(everything - {name}).id for name in switches.with_cost},
        timed_as={switches.cell(tried).id: search.timed_as(tried).id for tried in search.answers},
    )


def _evidence(search: RecipeSearch, cell: Cell) -> Evidence:
    records = search.evidence(cell)
    judgement = judge(records)
    first = earliest_divergence(records, COMPARED) if judgement.verdict.differs else None
    return Evidence(
        cell=cell.id,
        verdict=str(judgement.verdict),
        agrees=judgement.verdict is Verdict.identical,
        runs=independent_runs(records),
        differ=judgement.agreement.describe() if judgement.agreement.processes > 1 else "",
        step=first.step if first else None,
        component=first.component if first else "",
        failure=_failure(records),
    )


def _failure(records: Sequence[RunRecord]) -> str:
    failed = next((record for record in records if not record.outcome.completed), None)
    return f"{failed.outcome}: {failed.reason}" if failed else ""


def _without_own(words: Sequence[str]) -> list[str]:
    """Return the words of `diagnose` that examine the setting with all switches."""
    own, program_words = split_words(words)
    typed = [word for word in own if not word.startswith(("recipe.", "study.dir="))]
    return with_setting([*typed, *program_words])
