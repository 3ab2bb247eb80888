"""`python -m harness recipe OVERRIDES`: the smallest set of switches under which runs agree."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass

from harness.core.command_line import command, command_for_folder
from harness.core.errors import UsageError
from harness.core.frameworks import FRAMEWORKS
from harness.core.paths import RECIPE
from harness.core.spec import Isolation
from harness.diagnose.recipe_answer import Recipe, describe_search
from harness.diagnose.recipe_search import RecipeSearch
from harness.diagnose.runs import FIRST_RUNS, REPEATS, Experiment
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
    runs = Runs(trace=0, timing=0, repeats=framework.repeats(REPEATS), first=FIRST_RUNS)
    searched = dataclasses.replace(
        request.for_cell(cell, runs),
        launch=dataclasses.replace(request.launch, isolation=Isolation.fork),
    )
    return run_inquiry(searched, RecipeInquiry(request.recipe.runs))[1]


@dataclass(frozen=True)
class RecipeInquiry:
    kept: int  # fork servers that stay, since every set is tried by their children

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
                _time(session, start, search)
        return found

    def how_to_continue(self, session: Session) -> str:
        if (session.folder.path / RECIPE).exists():
            again = command(["resume", str(session.folder.path)])
            return f"the recipe is found. Complete its costs with:\n  {again}"
        again = command_for_folder(session.request.words, session.folder.path)
        return f"completed runs are kept. Continue with:\n  {again}"


def _time(session: Session, start: StartProcess, search: RecipeSearch) -> None:
    """Make the study one of all sets, and time what has a cost; `resume` can do that, too."""
    baseline = search.switches.cell(search.switches.seeds)
    timed = [baseline, *search.timed()]
    tried = [search.switches.cell(kept) for kept in search.answers]
    cells = {cell.id: cell for cell in (*timed, *tried)}.values()
    asked = [RequestedCell(cell, baseline, timed=cell in timed) for cell in cells]
    runs = dataclasses.replace(session.request.runs, timing=session.request.recipe.blocks)
    request = dataclasses.replace(session.request, asked=tuple(asked), runs=runs)
    planned = plan(request, baseline.device)
    session.folder.extend(request, planned)
    remaining = session.folder.remaining(planned)
    print(f"recipe: {len(remaining)} more runs, for the costs", file=sys.stderr, flush=True)
    total = len(planned.runs)
    with Display(total, total - len(remaining), estimate_s(remaining, 1)) as display:
        Runner(session.folder, request, planned).run(start, display)
