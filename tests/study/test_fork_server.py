"""Fork servers: what their children share, and how both end."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from harness.core.record import Outcome
from harness.core.spec import Cell, Determinism, Kind, RunSpec, Scenario
from harness.core.spec_json import to_json
from harness.study.child_process import environment
from harness.study.fork_server import ForkServers, one_after_another
from harness.study.launcher import LocalLauncher
from harness.study.request import Launch
from tests.study.conftest import Spec, Start, wait_until

PARENT = """
import json, sys
from pathlib import Path
from harness.core.spec import RunSpec
from harness.study.fork_server import ForkServers, in_turn
from harness.study.launcher import LocalLauncher
from harness.study.request import Launch
from harness.study.worker_process import spawn

spec = RunSpec.from_json(json.loads(sys.argv[1]))
start = spawn if sys.argv[3] == "spawn" else ForkServers(in_turn).start
list(LocalLauncher(Path(sys.argv[2]), Launch(), lambda: None, start).launch([spec], 0))
"""


@pytest.mark.parametrize("isolation", [pytest.param("spawn", marks=pytest.mark.slow), "fork"])
def test_a_worker_dies_with_its_parent(isolation: str, acting_study: Path, spec: Spec) -> None:
    """A parent killed by SIGKILL takes its worker with it: `resume` never measures beside one."""
    if sys.platform != "linux":
        pytest.skip("only Linux ends orphans (prctl); run this on Linux")
    hanging = spec("hang")
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, json.dumps(to_json(hanging)), str(acting_study), isolation],
        env={**os.environ, **environment({})},
    )
    log = acting_study / "logs" / f"{hanging.run_id}.log"
    wait_until(lambda: log.exists() and "hello" in log.read_text())
    descendants = psutil.Process(parent.pid).children(recursive=True)
    assert len(descendants) == (1 if isolation == "spawn" else 2)  # the server, and its child
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    _, alive = psutil.wait_procs(descendants, timeout=10)
    assert not alive


DRAWS = """
import os, random
from dataclasses import dataclass
import numpy as np, torch
from harness.scenarios import mlp
from harness.scenario import Context

@dataclass(frozen=True)
class Options:
    steps: int = 1

def build(options, context):
    training = mlp.build(mlp.Options(steps=1), context)
    drawn = {"python": random.random(), "numpy": np.random.rand(), "torch": torch.rand(1).item()}
    training.facts = lambda: {**drawn, "hash": hash("a"), "address": id(object), "pid": os.getpid()}
    return training
"""


def test_children_of_one_fork_server_share_its_hash_seed_and_addresses(
    tmp_path: Path, fork: Start, make_cell: Callable[..., Cell]
) -> None:
    """Unseeded generators differ between children; hash seed and addresses, between servers."""
    for part in ("runs", "logs"):
        (tmp_path / part).mkdir()
    (tmp_path / "draws.py").write_text(DRAWS)
    scenario = Scenario("draws", "draws", {"steps": 1}, source=str(tmp_path / "draws.py"))
    cell = dataclasses.replace(make_cell("none"), scenario=scenario, determinism=Determinism())
    specs = [RunSpec(cell, Kind.trace, number) for number in (1, 2, 3)]
    launcher = LocalLauncher(tmp_path, Launch(), lambda: None, fork)
    first, second, third = (record.repeats[0].facts for record in launcher.launch(specs, 0))
    assert {name for name in first if first[name] == third[name]} == {"hash", "address"}
    assert {"hash", "address"} & {name for name in first if first[name] == second[name]} == set()


def test_settings_that_differ_in_a_late_variable_share_a_server(
    tmp_path: Path, fork: Start, make_cell: Callable[..., Cell]
) -> None:
    """A child sets CUBLAS_WORKSPACE_CONFIG, which only cuBLAS reads, itself; siblings lack it."""
    for part in ("runs", "logs"):
        (tmp_path / part).mkdir()
    with_workspace = Determinism(seed=1, cublas_workspace=":4096:8")
    cells = [
        make_cell("full", determinism=with_workspace),
        make_cell(determinism=Determinism(seed=1)),
    ]
    specs = [
        RunSpec(cell, Kind.trace, 1, environment=cell.determinism.environment()) for cell in cells
    ]
    first, second = LocalLauncher(tmp_path, Launch(), lambda: None, fork).launch(specs, 0)
    assert first.effective["cublas_workspace"] == ":4096:8"
    assert second.effective["cublas_workspace"] is None
    assert first.server == second.server is not None


def test_the_runs_of_a_cell_have_a_server_each_up_to_thirty() -> None:
    """A replicate has its own server; with more replicates, consecutive ones share one."""
    assert [one_after_another(30)(number) for number in (1, 2, 30)] == [0, 1, 29]
    assert [one_after_another(31)(number) for number in (1, 2, 3, 31)] == [0, 0, 1, 15]
    assert [one_after_another(300)(number) for number in (1, 10, 11, 300)] == [0, 0, 1, 29]


@pytest.mark.slow
def test_records_name_their_server_and_earlier_servers_end(acting_study: Path, spec: Spec) -> None:
    """Two cells of one replicate come from one server, and only three servers live at a time."""
    servers = ForkServers(one_after_another(4))
    launcher = LocalLauncher(acting_study, Launch(ahead=1), lambda: None, servers.start)
    names = []
    for number in (1, 2, 3, 4):
        pair = [spec("train", number=number), spec("nan", number=number)]
        one, other = (record.server for record in launcher.launch(pair, 2 * number))
        assert one == other is not None
        names.append(one)
        assert len(servers.servers) <= 3
    servers.close()
    assert len(set(names)) == 4


@pytest.mark.slow
def test_a_server_that_was_killed_is_replaced(acting_study: Path, fork: Start, spec: Spec) -> None:
    """The next run gets a new fork server."""
    launcher = LocalLauncher(acting_study, Launch(), lambda: None, fork)
    list(launcher.launch([spec("train")], 0))
    for process in psutil.Process().children():
        if "fork_server" in " ".join(process.cmdline()):
            process.kill()
            process.wait()
    (record,) = launcher.launch([spec("train", number=3)], 1)
    assert record.outcome is Outcome.ok
