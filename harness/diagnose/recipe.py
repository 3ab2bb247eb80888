"""`python -m harness recipe OVERRIDES`: the smallest set of switches under which runs agree."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.core.binomial import divergence_rate_upper
from harness.core.command_line import add_override, command
from harness.core.errors import UsageError
from harness.core.frameworks import FRAMEWORKS, independent_runs
from harness.core.paths import RECIPE
from harness.core.record import RunRecord
from harness.core.spec import Cell, Isolation
from harness.core.verdict import Judgement, Verdict, judge
from harness.diagnose.recipe_answer import Evidence, Recipe
from harness.diagnose.recipe_switches import FILL, SEED, Switches
from harness.diagnose.runs import REPEATS, Experiment
from harness.diagnose.switch_search import Kept, SwitchSearch
from harness.diagnose.treatments import ONE_THREAD
from harness.study.fork_server import Place
from harness.study.plan import plan
from harness.study.progress import Display, estimate_s
from harness.study.request import Request, RequestedCell, Runs
from harness.study.runner import Runner
from harness.study.session import Session, run_inquiry
from harness.study.worker_process import StartProcess

SUPPORTED = ("torch", "script")  # whose switches are those of torch


def recipe(request: Request) -> int:
    """Search the switches of the cell's setting for the smallest set that suffices, and time it."""
    cell = request.only_cell("recipe")
    framework = FRAMEWORKS[cell.scenario.framework]
    if cell.scenario.framework not in SUPPORTED:
        raise UsageError(
            f"recipe supports only torch; '{cell.scenario.label}' is a {cell.scenario.framework} "
            "scenario"
        )
    if cell.determinism.seed is None:
        raise UsageError(f"recipe begins with a setting that has a seed, not `{cell.setting}`")
    runs = Runs(
        trace=request.recipe.runs, timing=request.runs.timing, repeats=framework.repeats(REPEATS)
    )
    searched = dataclasses.replace(
        request.for_cell(cell, dataclasses.replace(runs, timing=0)),
        launch=dataclasses.replace(request.launch, isolation=Isolation.fork),
    )
    return run_inquiry(searched, RecipeInquiry(request.recipe.runs, runs))


@dataclass(frozen=True)
class RecipeInquiry:
    kept: int  # fork servers that stay, since every set is tried by their children
    runs: Runs  # of the study that times what the search has found

    @property
    def place(self) -> Place:
        """Each run of a cell comes from a server of its own, so that all are independent."""
        return lambda number: number - 1

    def answer(self, session: Session, start: StartProcess) -> Recipe:
        with Experiment.of(session, start) as experiment:
            found, timed = _Search(experiment).find()
        if timed:
            found.write(session.folder.path)  # before what `resume` can complete
            _time(session, start, timed, self.runs)
        return found

    def how_to_continue(self, session: Session) -> str:
        if (session.folder.path / RECIPE).exists():
            again = command(["resume", str(session.folder.path)])
            return f"the recipe is found. Complete its costs with:\n  {again}"
        words = [word for word in session.request.words if not word.startswith("study.dir=")]
        again = command(add_override(words, f"study.dir={session.folder.path}"))
        return f"completed runs are kept. Continue with:\n  {again}"


@dataclass
class _Search:
    experiment: Experiment
    screen: int = 0  # runs by which a set is judged
    runs: dict[Kept, list[RunRecord]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.switches = Switches.of(self.experiment.cell)
        self.screen = self.experiment.request.recipe.runs

    def find(self) -> tuple[Recipe, list[RequestedCell]]:
        """Return the recipe and the cells of its study, of which the first is the baseline."""
        names = self.switches.names
        search = SwitchSearch(names, self._agree)
        kept = search.minimize()
        while kept is not None and not self._is_confirmed(kept):  # ends when both have equal runs
            self.screen = min(2 * self.screen, self.experiment.request.recipe.confirm)
            search.forget_agreements()
            search.answers[kept] = False
            kept = search.minimize()
        if kept is None:
            return self._without_recipe(), []
        return self._recipe(search, kept), self._cells_of_study(search, kept)

    def _agree(self, kept: Kept) -> bool:
        """Whether all runs agree; the first two that differ end it."""
        self._log(kept, self.screen)
        return self._agrees(kept, self.screen)

    def _agrees(self, kept: Kept, number: int) -> bool:
        cell = self.switches.cell(kept)
        self.runs[kept], agree = self.experiment.until_they_differ(cell, number)
        return agree

    def _is_confirmed(self, kept: Kept) -> bool:
        number = self.experiment.request.recipe.confirm
        self._log(kept, number)
        return self._agrees(kept, number)

    def _log(self, kept: Kept, number: int) -> None:
        names = [name for name in self.switches.names if name in kept]
        self.experiment.log(f"recipe: {', '.join(names) or 'no switch'}: up to {number} runs")

    def _recipe(self, search: SwitchSearch, kept: Kept) -> Recipe:
        without = {name: self._evidence(kept - {name}) for name in self._ordered(kept)}
        independent = independent_runs(self.runs[kept])
        return Recipe(
            cell=self.switches.cell(kept).id,
            full=self.switches.full.id,
            kept={name: self.switches.value(name) for name in self._ordered(kept)},
            without=without,
            unneeded=[name for name in self.switches.names if name not in kept],
            without_effect=list(self.switches.without_effect),
            runs=independent,
            rate=divergence_rate_upper(independent),
            screen=self.screen,
            missed=divergence_rate_upper(self.screen),
            sets=len(search.answers),
            alternative=self._alternative(kept),
            contradictions=[
                (self._ordered(smaller), self._ordered(larger))
                for smaller, larger in search.contradictions()
            ],
            added={
                name: self.switches.cell(frozenset({SEED, name})).id
                for name in self.switches.names
                if name != SEED
            },
            taken={
                name: self.switches.cell(frozenset(self.switches.names) - {name}).id
                for name in self.switches.names
            },
            words=self.experiment.request.words,
        )

    def _without_recipe(self) -> Recipe:
        everything = frozenset(self.switches.names)
        return Recipe(
            cell="",
            full=self.switches.full.id,
            kept={},
            without={"": self._evidence(everything)},
            unneeded=[],
            without_effect=list(self.switches.without_effect),
            runs=0,
            rate=1.0,
            screen=self.screen,
            missed=divergence_rate_upper(self.screen),
            sets=1,
            words=self.experiment.request.words,
        )

    def _evidence(self, kept: Kept) -> Evidence:
        """What happens with these switches alone, by all runs that the set had or could have."""
        cell, known = self.switches.cell(kept), self.runs.get(kept, [])
        number = max(self.screen, len(known))
        return _evidence(cell, judge(list(self.experiment.traces(cell, number))), known)

    def _alternative(self, kept: Kept) -> Evidence | None:
        """One thread in place of deterministic algorithms, where those are needed."""
        if "algorithms" not in kept or self.switches.full.determinism.threads == 1:
            return None
        base = self.switches.cell(kept - {"algorithms", FILL})
        cell = ONE_THREAD.apply(base)
        self.experiment.log(f"recipe: {' '.join(ONE_THREAD.words)} in place of algorithms")
        return _evidence(cell, judge(list(self.experiment.traces(cell, self.screen))), [])

    def _cells_of_study(self, search: SwitchSearch, kept: Kept) -> list[RequestedCell]:
        """The baseline, the recipe, all switches, each switch from both ends, and all that was
        tried. What is known to vary is not timed.
        """
        everything = frozenset(self.switches.names)
        sets: list[Kept] = [frozenset({SEED}), kept, everything]
        sets += [frozenset({SEED, name}) for name in self.switches.names]
        sets += [everything - {name} for name in self.switches.names]
        sets += search.answers
        baseline = self.switches.cell(sets[0])
        return [
            RequestedCell(
                self.switches.cell(each),
                baseline,
                timed=each == sets[0] or search.answers.get(each, True),
            )
            for each in dict.fromkeys(sets)
        ]

    def _ordered(self, kept: Kept) -> list[str]:
        return [name for name in self.switches.names if name in kept]


def _evidence(cell: Cell, judgement: Judgement, records: Sequence[RunRecord]) -> Evidence:
    first = judgement.first_divergence
    failed = next((record for record in records if not record.outcome.completed), None)
    return Evidence(
        cell=cell.id,
        verdict=str(judgement.verdict),
        agrees=judgement.verdict is Verdict.identical,
        differ=judgement.agreement.describe() if judgement.agreement.processes > 1 else "",
        step=first.step if first else None,
        component=first.component if first else "",
        failure=f"{failed.outcome}: {failed.reason}" if failed else "",
    )


def _time(
    session: Session, start: StartProcess, cells: Sequence[RequestedCell], runs: Runs
) -> None:
    """Make the study one of all these cells, and run what it lacks: `resume` can do that, too."""
    request = dataclasses.replace(session.request, asked=tuple(cells), runs=runs)
    planned = plan(request, cells[0].cell.device)
    session.folder.extend(request, planned)
    remaining = session.folder.remaining(planned)
    print(f"recipe: {len(remaining)} more runs, for the costs", file=sys.stderr, flush=True)
    total = len(planned.runs)
    with Display(total, total - len(remaining), estimate_s(remaining, 1)) as display:
        Runner(session.folder, request, planned).run(start, display)
