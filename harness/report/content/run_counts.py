"""How many runs a study has, in which processes, and why some cells have fewer."""

from __future__ import annotations

from harness.analysis.study_data import StudyData
from harness.core.completion import is_settled
from harness.core.record import RunRecord
from harness.report.format import duration, percent, plural


def summarize_runs(study: StudyData) -> str:
    """How many runs of how many cells, in which processes, and how long they took."""
    processes = {run.process: run for run in study.runs}  # one for all arms of a block
    wall = sum(run.wall_s or 0 for run in processes.values())
    shared = sum(cell.same_as is not None for cell in study.cells)
    cells = plural(len(study.cells) - shared, "cell")
    return (
        f"{plural(len(study.runs), 'run')} of {cells}"
        f"{f' ({shared} more share their runs)' if shared else ''}, "
        f"{_describe_processes(study, list(processes.values()))}; "
        f"{duration(wall)} of training and evaluation"
    )


def _describe_processes(study: StudyData, runs: list[RunRecord]) -> str:
    forked = [run for run in runs if run.server is not None]
    if not forked and any(cell.is_forked for cell in study.cells):
        return "forked where possible"  # by a version that did not record the servers
    if not forked:
        return f"in {plural(len(runs), 'fresh process')}"
    servers = len({run.server for run in forked})
    return (
        f"in {plural(len(runs) - len(forked), 'fresh process')} and "
        f"{plural(len(forked), 'fork')} of {servers} more"
    )


def describe_stops(study: StudyData) -> str:
    """Why cells have fewer runs than were requested at most."""
    request, parts = study.manifest["request"], []
    measured = [cell for cell in study.cells if cell.same_as is None]
    stage, most = request["runs"].get("first"), request["runs"]["trace"]
    few = [cell for cell in measured if len(cell.traces) < most]
    settled = sum(is_settled(cell.traces, stage) for cell in few) if stage else 0
    if settled:
        parts.append(
            f"{plural(settled, 'cell')} got fewer than {most} trace runs: at least half of the "
            f"first {stage} differ, or none completed."
        )
    blocks = [len(cell.timings) for cell in measured if cell.timings]
    if request["timing"].get("first") and blocks:
        fewest, largest = min(blocks), max(blocks)
        span = f"{fewest}" if fewest == largest else f"{fewest} to {largest}"
        parts.append(
            f"Costs were timed in {span} blocks: at most {request['runs']['timing']}, fewer where "
            f"their intervals are within ±{percent(request['timing']['precision'])}."
        )
    if study.is_cut:
        parts.append(
            f"The time budget of {duration(request['study']['budget_s'])} (study.budget_s) ended "
            f"before {study.unfinished} of {study.planned} planned runs; `resume` runs them."
        )
    return " ".join(parts)
