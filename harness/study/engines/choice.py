"""Which engine a request names, and the probe of a node that it gives."""

from __future__ import annotations

import dataclasses
import json
import secrets
import shutil
import time
from pathlib import Path

from harness.core.errors import UsageError
from harness.core.files import write_json
from harness.core.paths import RESULTS
from harness.core.spec_json import to_json
from harness.study.engines.engine import GONE_AFTER, Engine, EngineError, waited
from harness.study.engines.slurm import Slurm
from harness.study.probe import Probe, probe
from harness.study.request import Launch, Request


def engine_of(launch: Launch, logs: Path) -> Engine:
    """The engine of a cluster; what its jobs print goes into ``logs``. Raises EngineError."""
    if launch.engine == "slurm":
        return Slurm(launch.slurm, logs)
    from harness.study.engines.ray import Ray  # noqa: PLC0415 - an optional dependency

    return Ray(launch.ray, logs)


def probe_where_runs_go(request: Request) -> Probe:
    """Probe this machine, or a node of the cluster. Raises UsageError."""
    if not request.launch.on_cluster:
        return probe(request)
    results = Path(request.study.dir).parent if request.study.dir else RESULTS
    folder = (results / f".probe-{secrets.token_hex(3)}").resolve()
    try:
        folder.mkdir(parents=True)
        return _probe_node(request, folder)
    except EngineError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(f"{results} cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _probe_node(request: Request, folder: Path) -> Probe:
    asked = dataclasses.replace(request, claims=())
    write_json(folder / "request.json", {"request": to_json(asked)})
    engine = engine_of(request.launch, folder)
    ids = engine.submit(folder.name.strip("."), ["probe", str(folder)], 1)
    try:
        _await_answer(request.launch, folder, engine, ids[0])
    except BaseException:
        engine.cancel(ids)
        raise
    answer = json.loads((folder / "answer.json").read_text())
    if "error" in answer:
        raise UsageError(f"on node {answer['node']}: {answer['error']}")
    return Probe(**answer["probe"])


def _await_answer(launch: Launch, folder: Path, engine: Engine, job_id: str) -> None:
    """Raises UsageError if the job ends without an answer, or waits too long for a node."""
    began, gone, last = time.monotonic(), 0, None
    while not (folder / "answer.json").exists():
        living = engine.living()
        if living is not None:
            last = living.get(job_id, last)
            gone = 0 if job_id in living else gone + 1
        if gone == GONE_AFTER:
            node = engine.node_of(job_id)
            where = f"node {node}" if node else "a node"
            raise UsageError(
                f"the probe on {where} ended without an answer; does it see {folder.parent} and "
                f"this Python? It printed: {_printed(folder)}"
            )
        if (
            launch.queue_s is not None
            and time.monotonic() - began > launch.queue_s
            and not (last and last.is_running)
        ):
            raise UsageError(waited("the probe", launch.queue_s, last.where if last else ""))
        time.sleep(launch.poll_s)


def _printed(folder: Path) -> str:
    text = "".join(path.read_text(errors="replace") for path in folder.glob("*.log"))
    return text.strip()[-500:] or "nothing"
