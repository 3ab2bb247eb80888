"""`python -m harness recipe OVERRIDES`: the smallest set of switches under which runs agree."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.core.command_line import add_override, command
from harness.core.errors import UsageError
from harness.core.frameworks import FRAMEWORKS
from harness.core.paths import RECIPE
from harness.core.spec import Isolation
from harness.diagnose.recipe_answer import Recipe, describe_search
from harness.diagnose.recipe_search import RecipeSearch
from harness.diagnose.recipe_switches import HASH_SEED
from harness.diagnose.runs import REPEATS, Experiment
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
        trace=request.recipe.runs, timing=request.recipe.blocks, repeats=framework.repeats(REPEATS)
    )
    nothing_yet = dataclasses.replace(runs, trace=0, timing=0)
    searched = dataclasses.replace(
        request.for_cell(cell, nothing_yet),
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
            search = RecipeSearch(experiment)
            search.find()
            found = describe_search(search)
            if found.cell:  # before the saved weights, whose distances are measured, are removed
                found.write(session.folder.path)  # `resume` can complete the rest
                _time(session, start, list(_cells_of_study(search)), self.runs)
        return found

    def how_to_continue(self, session: Session) -> str:
        if (session.folder.path / RECIPE).exists():
            again = command(["resume", str(session.folder.path)])
            return f"the recipe is found. Complete its costs with:\n  {again}"
        words = [word for word in session.request.words if not word.startswith("study.dir=")]
        again = command(add_override(words, f"study.dir={session.folder.path}"))
        return f"completed runs are kept. Continue with:\n  {again}"


def _cells_of_study(search: RecipeSearch) -> Iterator[RequestedCell]:
    """The baseline, and what is compared with it: the recipe, its alternatives, all switches, each
    switch from both ends, and all sets that were tried.

    Sets with a hash seed need a process of their own for every block, so other than the recipe they
    are not timed.
    """
    assert search.kept is not None
    switches, everything = search.switches, search.everything_timed
    baseline = switches.cell(switches.seeds)
    sets = [search.kept, everything, *search.answers]
    sets += [switches.seeds | {name} for name in switches.with_cost]
    sets += [everything - {name} for name in switches.with_cost]
    timed = {switches.cell(kept).id: kept == search.kept or HASH_SEED not in kept for kept in sets}
    cells = [baseline, *map(switches.cell, sets), *(one.cell for one in search.alternatives)]
    for cell in {cell.id: cell for cell in cells}.values():
        yield RequestedCell(cell, baseline, timed=timed.get(cell.id, True))


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
