"""Forked runs show what fresh interpreters show, and lose nothing when something is killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import torch

from harness.core.record import Outcome, load_record
from harness.core.spec import Kind
from harness.study.fork_server import ForkServers
from harness.study.launcher import LocalLauncher
from harness.study.request import Launch
from tests.conftest import ROOT, TRACES_ONLY, harness, study_of
from tests.long.test_planted import FULL, PLANTED, RACE, SETTINGS, Case
from tests.study.conftest import Spec, acting_study, spec

__all__ = ["acting_study", "spec"]  # fixtures

SHOWN = ["verdict", "first_step", "first_component"]
KINDS = ("hash order", "unseeded randomness", "uninitialized memory", "algorithm choice")


def shown(case: Case, isolation: str, folder: Path) -> dict[str, Any]:
    """The verdict on a planted fault, and where its runs first diverge."""
    options = {"kind": case.kind, "where": case.where, "form": case.form, "step": case.step}
    done = harness(
        "--config-dir",
        str(ROOT / "tests" / "long" / "planted"),
        "scenario=planted",
        *(f"scenario.{name}={value}" for name, value in options.items()),
        *SETTINGS.get(case.kind, FULL),
        *TRACES_ONLY,
        "runs.trace=4",
        "device=cpu",
        f"launch.isolation={isolation}",
        f"study.dir={isolation}",
        cwd=folder,
    )
    (row,) = pd.read_csv(study_of(done, folder) / "tables" / "cells.csv").to_dict("records")
    return {name: row[name] for name in SHOWN}


def compare(case: Case, folder: Path) -> None:
    if torch.get_num_threads() == 1 and case.kind == RACE:
        pytest.skip("atomics cannot race on one thread; run this on two cores")
    spawned, forked = (shown(case, isolation, folder) for isolation in ("spawn", "fork"))
    assert spawned == forked
    assert spawned["verdict"].startswith("varies")


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(KINDS[0], marks=pytest.mark.slow),
        *(pytest.param(one, marks=pytest.mark.long) for one in KINDS[1:]),
    ],
)
def test_a_fault_has_the_same_verdict_in_forks(kind: str, tmp_path: Path) -> None:
    """Forks and fresh interpreters vary alike, and first diverge in the same component."""
    compare(Case(kind, "forward"), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("case", PLANTED, ids=str)
def test_every_planted_fault_has_the_same_verdict_in_forks(case: Case, tmp_path: Path) -> None:
    """So do faults of every kind, phase and form."""
    compare(case, tmp_path)


def digests(study: Path) -> dict[str, Any]:
    """Run id to the outcome digests of its trainings."""
    records = [load_record(path) for path in (study / "runs").glob("*.trace.*.json")]
    assert all(record.outcome is Outcome.ok for record in records)
    return {run.run_id: [repeat.final for repeat in run.repeats] for run in records}


@pytest.mark.long
@pytest.mark.parametrize("moment", range(12))
def test_nothing_is_lost_or_run_twice_whatever_is_killed(moment: int, tmp_path: Path) -> None:
    """The parent or a fork server is killed at a random moment; `resume` completes the study."""
    words = ["scenario=mlp", "scenario.steps=20", "determinism=full", *TRACES_ONLY]
    words += ["runs.trace=6", "launch.isolation=fork", "study.dir=it"]
    chance = random.Random(moment)
    parent = subprocess.Popen(
        [sys.executable, "-m", "harness", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    victim = psutil.Process(parent.pid)
    threading.Event().wait(chance.uniform(3.0, 9.0))
    servers = [one for one in victim.children() if "fork_server" in " ".join(one.cmdline())]
    if servers and chance.random() < 0.5:
        victim = chance.choice(servers)
    victim.send_signal(signal.SIGKILL)
    parent.wait(timeout=120)
    if (tmp_path / "it" / "manifest.json").exists():
        before = {path: path.read_bytes() for path in (tmp_path / "it/runs").glob("*.trace.*.json")}
        done = harness("resume", "it", cwd=tmp_path)
        kept = {path for path, data in before.items() if path.read_bytes() == data}
        lost = {path for path in before if json.loads(before[path])["outcome"] == "lost"}
        assert kept >= set(before) - lost
    else:
        done = harness(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = digests(tmp_path / "it")
    assert len(found) == 6
    assert len({json.dumps(value) for value in found.values()}) == 1


@pytest.mark.long
def test_a_fork_server_does_not_grow(acting_study: Path, spec: Spec) -> None:
    """After 500 children a server has the memory that it had after 20, within 1 %."""
    servers = ForkServers(lambda _: 0)
    launcher = LocalLauncher(acting_study, Launch(ahead=8), lambda: None, servers.start)
    sizes: list[int] = []
    runs = [spec("train", number, Kind.trace) for number in range(1, 501)]
    for record in launcher.launch(runs, 0):
        assert record.outcome is Outcome.ok, record.message
        server = next(one for (_, _, place), one in servers.servers.items() if place == 0)
        sizes.append(psutil.Process(server.process.pid).memory_info().rss)
    servers.close()
    assert len(sizes) == 500
    assert sizes[-1] <= 1.01 * sizes[19]
