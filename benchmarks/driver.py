"""The driver of a study on a cluster: its own work for many runs, on an engine that is simulated.

The engine's jobs are copies of a real study's records, written by another process as nodes would.
Runs without a setting differ, so the driver measures how far apart they end.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from unittest import mock

from benchmarks.report import copied, make_study
from harness.core.paths import snapshots_of
from harness.core.record import RunRecord, load_record, read_distances, save_record
from harness.core.spec import Isolation
from harness.study.engines.engine import Living
from harness.study.engines.jobs import Ledger, load_job
from harness.study.folder import StudyFolder
from harness.study.fork_server import process_starter
from harness.study.manifest import request_from_manifest
from harness.study.plan import Plan, plan
from harness.study.progress import Display
from harness.study.request import Request
from harness.study.runner import Runner

RUNS = 10_000
WEIGHTS = 20_000  # of a simulated network
NODE = {"cpu": "simulated", "allocation": "0"}


class SimulatedEngine:
    """Runs the jobs of a submission at once, one after another, in another process."""

    most_together = 1_000

    def __init__(self, study: Path, templates: Path) -> None:
        self.jobs, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=_serve, args=(theirs, study, templates))
        self.process.start()
        self.alive: dict[str, Living] = {}

    def submit(
        self,
        submission: str,
        words: Sequence[str],  # noqa: ARG002 - says only where the study is
        number: int,
    ) -> list[str]:
        ids = [f"{submission}_{index}" for index in range(number)]
        self.alive |= {one: Living(submission, index, True, "") for index, one in enumerate(ids)}
        self.jobs.send((submission, number))
        return ids

    def living(self) -> dict[str, Living] | None:
        while self.jobs.poll():
            del self.alive[self.jobs.recv()]
        return dict(self.alive)

    def node_of(self, job_id: str) -> str:
        return job_id

    def cancel(self, ids: Sequence[str]) -> None:  # noqa: ARG002 - ends all of them
        self.process.kill()


def _serve(jobs: Connection, study: Path, templates: Path) -> None:
    records = {}
    for path in sorted(templates.glob("*.t*.*.json")):
        for record in load_record(path).of_arms():
            records[record.spec.cell.id, record.spec.kind, record.spec.twin] = record
    while True:
        submission, number = jobs.recv()
        for index in range(number):
            name = Ledger(study).job_of(submission, index)
            assert name is not None
            for spec in load_job(study, name).runs:
                template = records[spec.cell.id, spec.kind, spec.twin]
                made = dataclasses.replace(
                    copied(template, spec.number), spec=spec, run_id=spec.run_id, node=NODE
                )
                _save_snapshots(study, made)
                save_record(study / "runs", made)
            jobs.send(f"{submission}_{index}")


def _save_snapshots(study: Path, run: RunRecord) -> None:
    import numpy as np  # noqa: PLC0415 - in the nodes' process: the driver does without
    from safetensors.numpy import save_file  # noqa: PLC0415

    folder = snapshots_of(study, run.spec.cell.id)
    for digest in {digest for repeat in run.repeats for digest in repeat.snapshots.values()}:
        path = folder / f"{digest}.safetensors"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            weights = np.random.default_rng(run.spec.number).standard_normal(WEIGHTS, np.float32)
            save_file({"weights": weights}, path)


def run() -> None:
    with tempfile.TemporaryDirectory() as scratch, _study(Path(scratch)) as (folder, request, full):
        engine = SimulatedEngine(folder.path, Path(scratch) / "study" / "runs")
        began = time.perf_counter()
        used = _used_s()
        try:
            with (
                mock.patch("harness.study.runner.engine_of", return_value=engine),
                Display(len(full.runs), 0, 0.0) as display,
                process_starter(lambda _: 0) as start,
            ):
                Runner(folder, request, full).run(start, display)
        finally:
            engine.process.kill()
        own_s = _used_s() - used
        wall_s = time.perf_counter() - began
        distances = (folder.path / "runs").glob("distances-*.json")
        measured = sum(len(read_distances(path)) for path in distances)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"driver of {len(full.runs):,} runs, {measured:,} of them at a distance: {own_s:.1f} s of "
        f"its own work, {peak_mb:.0f} MB, in {wall_s:.0f} s  (under 60 s and 300 MB)"
    )


def _used_s() -> float:
    """Seconds of this process and of those that it waited for, but not of the simulated nodes."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


@contextmanager
def _study(scratch: Path) -> Iterator[tuple[StudyFolder, Request, Plan]]:
    """A small real study, and a folder for one of the same cells with RUNS runs."""
    make_study(scratch / "study")
    real = StudyFolder(scratch / "study")
    request = request_from_manifest(real.manifest)
    alone = dataclasses.replace(request.launch, isolation=Isolation.spawn)  # no arms in one process
    each = len(plan(dataclasses.replace(request, launch=alone), "cpu").runs) // request.runs.trace
    number = RUNS // each
    request = dataclasses.replace(
        request,
        runs=dataclasses.replace(request.runs, trace=number, timing=number),
        launch=dataclasses.replace(alone, engine="slurm", poll_s=1.0),
    )
    many = plan(request, "cpu")
    folder = StudyFolder(scratch / "many")
    (folder.path / "runs").mkdir(parents=True)
    (folder.path / "manifest.json").write_text(json.dumps(real.manifest))
    (folder.path / "schedule.json").write_text(json.dumps([spec.run_id for spec in many.runs]))
    yield folder, request, many
