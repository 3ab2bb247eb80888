"""`python -m harness perturb OVERRIDES`: what do the bits of a training depend on?"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from harness.core.command_line import command_for_folder
from harness.core.errors import UsageError
from harness.diagnose.runs import Experiment, TwoServers
from harness.diagnose.treatments import unperturbed
from harness.factors.catalog import FACTORS
from harness.perturb.dependence import Dependence, describe_dependence
from harness.perturb.perturb_search import PerturbSearch
from harness.study.plan import plan
from harness.study.request import Request, RequestedCell, Runs
from harness.study.session import Session, run_inquiry
from harness.study.worker_process import StartProcess


def perturb(request: Request) -> tuple[Path, int]:
    """Vary what a training should not depend on, and compare the bits.

    Return the study's folder and the exit status.
    """
    cell = request.only_cell("perturb")
    for name in request.perturb.factors:
        if name not in FACTORS:
            raise UsageError(f"perturb.factors: unknown '{name}': allowed are {', '.join(FACTORS)}")
    cell = unperturbed(cell)
    return run_inquiry(request.for_cell(cell, Runs(trace=0, timing=0, repeats=1)), PerturbInquiry())


class PerturbInquiry(TwoServers):
    def answer(self, session: Session, start: StartProcess) -> Dependence:
        with Experiment.of(session, start) as experiment:
            search = PerturbSearch(experiment)
            search.find()
            found = describe_dependence(search)
        _list_cells(session, search)
        return found

    def how_to_continue(self, session: Session) -> str:
        again = command_for_folder(session.request.words, session.folder.path)
        return f"completed runs are kept. Continue with:\n  {again}"


def _list_cells(session: Session, search: PerturbSearch) -> None:
    """Make the study one of all cells that were run."""
    varied = dict.fromkeys([*search.tried, *search.comparisons])
    cells = [search.untouched, *map(search.cell, varied)]
    asked = tuple(RequestedCell(cell, None, timed=False) for cell in cells)
    request = dataclasses.replace(session.request, asked=asked)
    session.folder.extend(request, plan(request, search.untouched.device))
