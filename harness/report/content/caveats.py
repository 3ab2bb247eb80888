"""Warnings: what limits the numbers of a report, each with advice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from harness.analysis.controls import Control, Controls
from harness.analysis.cost import TwinCheck
from harness.analysis.study_data import StudyData
from harness.core.record import Outcome, RunRecord
from harness.core.verdict import MIN_IDENTICAL
from harness.report.content.cell_caveats import ENDINGS, Caveat, cell_caveats, list_names
from harness.report.format import percent, plural

BUSY = 0.10  # share of all CPU time that other processes used during a timing run
FEW_BLOCKS = 5  # with fewer, Student's t is so wide that most costs stay undecided


def find_caveats(study: StudyData, controls: Controls) -> list[Caveat]:
    caveats = [*_control_caveats(controls), *study_caveats(study), *_refusal_caveats(study)]
    cells = [cell for cell in study.cells if cell.same_as is None]
    by_cell = {cell.id: list(cell_caveats(cell)) for cell in cells}
    return caveats + _merge(by_cell, are_listed=study.dependence is None)


def _merge(by_cell: Mapping[str, list[Caveat]], are_listed: bool) -> list[Caveat]:
    """Say once what holds of several cells; the text begins with the cell's id.

    The cells of `perturb` are only counted: a reader cannot tell one from another by its id.
    """
    cells: dict[Caveat, list[str]] = {}
    for cell, caveats in by_cell.items():
        for caveat in caveats:
            shared = replace(caveat, what=caveat.what.removeprefix(f"{cell}: "))
            cells.setdefault(shared, []).append(cell)

    def subject(names: list[str]) -> str:
        return (
            list_names(names) if are_listed else f"{len(names)} of {plural(len(by_cell), 'cell')}"
        )

    return [
        replace(caveat, what=f"{subject(names)}: {caveat.what}") for caveat, names in cells.items()
    ]


def study_caveats(study: StudyData) -> Iterator[Caveat]:
    if study.manifest["request"]["not_for_conclusions"]:
        yield Caveat(
            "This matrix is a smoke test; its numbers support no conclusions.",
            "Run `make bench` or `make bench MATRIX=publish`.",
        )
    if first := study.manifest["repeat_of"]:
        yield Caveat(
            f"This study repeats {first}, in which a control failed.",
            "Read both reports. If a control fails in both, this machine is too noisy.",
        )
    skipped = study.manifest["request"]["settings_for_cuda"]
    if skipped and not study.manifest["cuda"]:
        yield Caveat(
            f"Settings skipped on a CPU: {', '.join(skipped)}.",
            "To run them here too, list them, as in determinism=warn,full.",
            is_note=True,
        )
    if study.lacks_runs:
        yield Caveat(
            f"{study.unfinished} of {study.planned} runs are not done.",
            "Run `python -m harness resume` on this study.",
        )
    for text in study.unreadable:
        yield Caveat(text, "`python -m harness resume` repeats this run.")
    if any(cell.independent_runs < len(cell.completed) for cell in study.cells):
        yield Caveat(
            "Some runs of a cell were forked from the same process. They share its hash seed and "
            "address layout, and count as one run in the bounds.",
            "Set launch.isolation=spawn to give each run a fresh interpreter.",
            is_note=True,
        )
    if study.died:
        yield Caveat(
            f"{plural(study.died, 'timing process')} died, so the cells that were timed there in "
            "turn were timed alone in those blocks.",
            "A cell that crashes has a warning of its own; see logs/ for the others.",
        )
    if not (study.recipe or study.dependence):  # whose numbers of runs are options of their own
        yield from _count_caveats(study)
    yield from load_caveats(study.runs)


def _count_caveats(study: StudyData) -> Iterator[Caveat]:
    """Caveats about the number of runs that were requested."""
    runs = study.manifest["request"]["runs"]
    if runs["trace"] < MIN_IDENTICAL:
        yield Caveat(
            f"{plural(runs['trace'], 'trace run')} per cell: `identical` only means that no run "
            "differed.",
            f"runs.trace={MIN_IDENTICAL} or MATRIX=publish lowers the bound below 10 %.",
            is_note=True,
        )
    if 0 < runs["timing"] < FEW_BLOCKS:
        yield Caveat(
            f"{plural(runs['timing'], 'timing block')} per cell: the intervals of costs are wide.",
            "Set runs.timing=20 or MATRIX=publish.",
            is_note=True,
        )


def load_caveats(runs: list[RunRecord]) -> Iterator[Caveat]:
    busy = {  # by process: the arms of a block are one run
        run.process: run.other_load
        for run in runs
        if run.timed and run.other_load is not None and run.other_load > BUSY
    }
    if busy:
        yield Caveat(
            f"Other processes used up to {percent(max(busy.values()))} of all CPU time during "
            f"{plural(len(busy), 'timing run')}.",
            "Stop other programs, then measure again.",
        )
    throttled = {run.process: run.throttled for run in runs if run.timed and run.throttled}
    if throttled:
        reasons = dict.fromkeys(reason for each in throttled.values() for reason in each)
        yield Caveat(
            f"The GPU lowered its clocks during {plural(len(throttled), 'timing run')}: "
            f"{', '.join(reasons)}.",
            "Improve its cooling, raise its power limit, or lock its clocks "
            "(nvidia-smi --lock-gpu-clocks), then measure again.",
        )
    repeated = len({run.process for run in runs if run.attempt > 1})
    if repeated:
        yield Caveat(
            f"Killed from outside and repeated: {plural(repeated, 'run')}.",
            "Find out what kills processes here, for example a memory limit.",
        )


def _control_caveats(controls: Controls) -> Iterator[Caveat]:
    for twin in controls.twins:
        if twin.check is TwinCheck.failed:
            yield Caveat(
                f"{twin.cell} and its A/A twin differ in time per step, although both run the same "
                "code.",
                "Do not trust any cost in this study; measure again. By chance alone this happens "
                "in one study in twenty.",
            )
    if controls.positive.control is Control.failed:
        yield Caveat(
            f"The positive control failed: {controls.positive.sentence}",
            "Do not trust any `identical` in this study. Raise `indices` of scenario `indexing`, "
            "or report the problem with the records of this study.",
        )


def _refusal_caveats(study: StudyData) -> Iterator[Caveat]:
    """One caveat for all refused cells: an audit has dozens."""
    refused = {
        cell.id: run
        for cell in study.cells
        if cell.same_as is None
        for run in reversed(cell.all_runs)
        if run.outcome is Outcome.refused
    }
    if refused:
        operations = sorted({run.operation or "unknown" for run in refused.values()})
        yield Caveat(
            f"{plural(len(refused), 'cell')} ({list_names(list(refused))}) "
            f"{ENDINGS[Outcome.refused]}: {list_names(operations)}.",
            "Replace the operation, or use determinism=warn to see what varies.",
            is_note=True,
        )
