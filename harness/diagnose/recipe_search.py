"""The search of `recipe`: sets of switches, judged by runs, until one is confirmed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.core.effective import overridden_switches
from harness.core.frameworks import environment_of
from harness.core.record import Outcome, RunRecord
from harness.core.spec import Algorithms, Cell
from harness.core.switches import FILL, SEEDS
from harness.diagnose.kernel_search import sufficient_operations
from harness.diagnose.recipe_switches import HASH_SEED, Switches
from harness.diagnose.runs import Experiment, all_agree
from harness.diagnose.switch_search import Kept, SwitchSearch, find_contradictions


@dataclass(frozen=True)
class Alternative:
    """What does the work of deterministic algorithms for the rest of a set, or fails to."""

    name: str
    value: Any
    cell: Cell


@dataclass
class RecipeSearch:
    experiment: Experiment
    switches: Switches = field(init=False)
    screen: int = field(init=False)  # runs by which a set is judged
    confirm: int = field(init=False)  # runs of the set that is found
    runs: dict[str, list[RunRecord]] = field(default_factory=dict)  # by id of the cell
    answers: dict[Kept, bool] = field(default_factory=dict)  # of all sets that were judged
    kept: Kept | None = None  # the set that is found
    alternatives: list[Alternative] = field(default_factory=list)
    overridden: dict[str, Any] = field(default_factory=dict)  # values that the program has set
    refused: str = ""  # why deterministic algorithms cannot be required

    def __post_init__(self) -> None:
        options = self.experiment.request.recipe
        self.switches = Switches.of(self.experiment.cell)
        self.screen, self.confirm = options.runs, max(options.runs, options.confirm)

    @property
    def everything(self) -> Kept:
        return frozenset(self.switches.names)

    @property
    def contradictions(self) -> list[tuple[Kept, Kept]]:
        return find_contradictions(self.answers)

    def find(self) -> None:
        """Find a set and alternatives to it; ``kept`` stays None if not even all switches suffice.

        A difference that was missed is rare, so if a run that confirms the set differs, every set
        that seemed to agree gets as many runs.
        """
        self._leave_out_overridden()
        self.kept = self._minimize()
        while self.kept is not None:
            self.alternatives = list(self._find_alternatives(self.kept))
            if self._is_confirmed(self.kept):
                return
            self.screen = self.confirm
            self._judge_again()
            self.kept = self._minimize()

    def timed(self) -> list[Cell]:
        """Return the recipe, all switches, each from both ends, what was tried, alternatives."""
        assert self.kept is not None
        everything, names = self.everything, self.switches.with_cost
        sets = [self.kept, everything, *({name} for name in names), *self.answers]
        sets += [everything - {name} for name in names]
        cells = [self.timed_as(frozenset(kept)) for kept in sets]
        cells += [one.cell for one in self.alternatives]
        return list({cell.id: cell for cell in cells}.values())

    def timed_as(self, kept: Kept) -> Cell:
        """Return the cell that is timed for a set: seeds cost nothing, so one stands for all
        that differ in seeds alone.
        """
        assert self.kept is not None
        costly = kept & {*self.switches.with_cost}
        is_recipe = bool(costly) and costly == self.kept & {*self.switches.with_cost}
        return self.switches.cell(self.kept if is_recipe else self.switches.seeds | costly)

    def evidence(self, cell: Cell) -> list[RunRecord]:
        """All runs that the cell had, or as many as judge a set."""
        number = max(self.screen, len(self.runs.get(cell.id, [])))
        return list(self.experiment.traces(cell, number))

    def _leave_out_overridden(self) -> None:
        """Search no switch that the program sets itself, as the first run of all of them shows.

        A program that seeds itself may do so too late, so its seeds are searched like any other.
        """
        first = self._first_run()
        if first.outcome is Outcome.refused:  # by torch.use_deterministic_algorithms
            self.refused = first.reason
            self.experiment.log(f"recipe: refused: {first.reason}: searching algorithms=warn")
            self.switches = self.switches.with_value("algorithms", Algorithms.warn)
            first = self._first_run()
        self.overridden = {
            name: effective
            for name, (_, effective) in overridden_switches(first).items()
            if name in self.switches.names and name not in SEEDS
        }
        self.switches = self.switches.but(self.overridden)

    def _first_run(self) -> RunRecord:
        everything = self.switches.cell(self.everything - {HASH_SEED})
        (first,) = self.experiment.traces(everything, 1)
        return first

    def _minimize(self) -> Kept | None:
        """Return the smallest set that suffices, or None.

        A hash seed costs nothing, but each of its runs needs another fork server. So it is searched
        only if the other switches do not suffice, or if it may do the work of one with a cost. If
        not even all switches suffice, one of them may do harm: each is left out in turn.
        """
        found = self._search(self.everything - {HASH_SEED})
        if found is not None and not self._hash_seed_may_replace_part_of(found):
            return found
        found = self._search(self.everything)
        for name in reversed(self.switches.with_cost):
            found = found if found is not None else self._search(self.everything - {name})
        return found

    def _hash_seed_may_replace_part_of(self, found: Kept) -> bool:
        costly = [name for name in self.switches.with_cost if name in found]
        return HASH_SEED in self.everything and any(
            self._test(self.everything - {name}) for name in costly
        )

    def _search(self, names: Kept) -> Kept | None:
        ordered = self.switches.ordered(names)
        return SwitchSearch(ordered, self._suffices, self.answers).minimize()

    def _test(self, kept: Kept) -> bool:
        return SwitchSearch(self.switches.names, self._suffices, self.answers).test(kept)

    def _judge_again(self) -> None:
        """Give each set that seemed to agree as many runs as confirm one, from shared servers."""
        groups: dict[frozenset[tuple[str, str]], list[Kept]] = defaultdict(list)
        for kept, is_enough in self.answers.items():
            if is_enough:
                environment = environment_of(self.switches.cell(kept))
                groups[frozenset(environment.items())].append(kept)
        for sets in groups.values():
            self.experiment.log(
                f"recipe: sets that agreed ({len(sets)}): up to {self.screen} runs each"
            )
            cells = [self.switches.cell(kept) for kept in sets]
            for kept, records in zip(sets, self._side_by_side(cells, self.screen), strict=True):
                self.answers[kept] = all_agree(records)

    def _side_by_side(self, cells: Sequence[Cell], most: int) -> list[list[RunRecord]]:
        found = self.experiment.side_by_side(cells, most)
        self.runs |= {cell.id: records for cell, records in zip(cells, found, strict=True)}
        return found

    def _suffices(self, kept: Kept) -> bool:
        return self._agrees(self.switches.cell(kept), self._describe(kept))

    def _agrees(self, cell: Cell, what: str) -> bool:
        """Whether as many runs as judge a set agree; the first two that differ end it."""
        self.experiment.log(f"recipe: {what}: up to {self.screen} runs")
        (records,) = self._side_by_side([cell], self.screen)
        self.experiment.log(f"  {_describe_result(records)}")
        return all_agree(records)

    def _is_confirmed(self, kept: Kept) -> bool:
        """Run the set and, if they cost no process more, alternatives that agree so far."""
        cell = self.switches.cell(kept)
        agreeing = [one.cell for one in self.alternatives if all_agree(self.runs[one.cell.id])]
        beside = [one for one in agreeing if environment_of(one) == environment_of(cell)]
        cells = [cell, *beside]
        self.experiment.log(f"recipe: {self._describe(kept)}: up to {self.confirm} runs to confirm")
        records, *_ = self._side_by_side(cells, self.confirm)
        self.experiment.log(f"  {_describe_result(records)}")
        return all_agree(records)

    def _describe(self, kept: Kept) -> str:
        return ", ".join(self.switches.ordered(kept)) or "no switch"

    def _find_alternatives(self, kept: Kept) -> Iterator[Alternative]:
        """Try what may do the work of deterministic algorithms, where those are needed."""
        if "algorithms" not in kept:
            return
        rest = kept - {"algorithms", FILL}
        values: dict[str, Any] = {}
        if FILL not in kept:  # which only the switch for all operations turns on
            names = sufficient_operations(self.experiment, self.switches, rest, self._agrees)
            values["deterministic_operations"] = "+".join(names) or None
        if self.experiment.cell.device == "cpu":
            values["threads"] = 1
        else:
            values["attention"] = "math"
        for name, value in values.items():
            if value not in (None, self.switches.full.determinism.switches()[name]):
                cell = self.switches.cell(rest, **{name: value})
                self._agrees(cell, f"{name}={value} in place of algorithms")
                yield Alternative(name, value, cell)


def _describe_result(records: Sequence[RunRecord]) -> str:
    failed = next((record for record in records if not record.outcome.completed), None)
    if failed:
        return f"a run failed: {failed.outcome}: {failed.reason}"
    return f"{len(records)} runs: {'they agree' if all_agree(records) else 'they differ'}"
