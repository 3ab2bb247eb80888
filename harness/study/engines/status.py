"""`status STUDY`: which runs have records and, on a cluster, where its jobs are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from harness.core.command_line import command
from harness.study.engines.choice import engine_of
from harness.study.engines.engine import Living
from harness.study.engines.jobs import Ledger, jobs_of, load_notice
from harness.study.folder import StudyFolder
from harness.study.manifest import request_from_manifest
from harness.study.plan import plan
from harness.study.targets import has_begun

MOST_SHOWN = 30
DONE, QUEUED, RUNNING, FAILED = "done", "queued", "running", "failed"
WAITING, SUBMITTED = "not submitted", "submitted"


def describe_each(studies: Iterable[Path]) -> Iterator[str]:
    """Yields the lines to print of each target's study. Raises UsageError if one is damaged."""
    for study in studies:
        if has_begun(study):
            yield from describe(StudyFolder(study))
        else:
            yield f"{study}: has not begun"


def describe(folder: StudyFolder) -> Iterator[str]:
    """Yields the lines to print. Raises UsageError if the study is damaged."""
    document = folder.manifest
    if not folder.runs.is_dir():  # packed
        yield f"{folder.path} is published, and complete as far as its report says"
        return
    request = request_from_manifest(document)
    planned = plan(request, document["device"]).runs
    if not planned:  # perturb, for one
        yield f"{folder.path}: {len(folder.records())} runs are done; the command plans as it goes"
        return
    unfinished = folder.unfinished()
    done = sum(spec.run_id not in unfinished for spec in planned)
    yield f"{folder.path}: {done} of {len(planned)} runs are done"
    if not (request.launch.on_cluster and unfinished):
        if unfinished:
            yield f"to run the others: {command(['resume', str(folder.path)])}"
        return
    living = None
    if request.launch.engine == "slurm":  # Ray tells only the driver about its tasks
        living = engine_of(request.launch, folder.path).living()
        if living is None:
            yield "Slurm does not answer here: what is queued, running or failed is not known"
    ledger = Ledger(folder.path)
    states: Counter[str] = Counter()
    lines = []
    for job in jobs_of(planned, 0):
        is_done = not any(spec.run_id in unfinished for spec in job.runs)
        state, detail = (DONE, "") if is_done else _state(folder, ledger, job.name, living)
        states[state] += 1
        if state != DONE:
            lines.append(f"  {job.name}: {state}{f' ({detail})' if detail else ''}")
    yield f"{sum(states.values())} jobs: {', '.join(f'{n} {state}' for state, n in states.items())}"
    yield from lines[:MOST_SHOWN]
    if len(lines) > MOST_SHOWN:
        yield f"  and {len(lines) - MOST_SHOWN} more"


def _state(
    folder: StudyFolder, ledger: Ledger, job: str, living: Mapping[str, Living] | None
) -> tuple[str, str]:
    if job not in ledger.latest:
        return WAITING, ""
    notice = load_notice(folder.path, job)
    if living is None:
        return SUBMITTED, notice.get("node", "")
    if alive := living.get(ledger.id_of(job) or ""):
        node = notice.get("node", "")
        return (RUNNING, alive.where or node) if alive.is_running else (QUEUED, alive.where)
    return FAILED, ": ".join(filter(None, [notice.get("node"), notice.get("error")]))
