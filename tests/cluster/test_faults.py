"""What happens to a study if workers, jobs, nodes or its driver are killed: it completes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import pytest

from harness.core.record import load_record
from tests.cluster.conftest import RayNodes, finish, start, training, wait_until
from tests.cluster.private_slurm import Slurm
from tests.conftest import harness

pytestmark = pytest.mark.cluster

FOUR = "launch.poll_s=0.5 runs.trace=4 runs.timing=0 study.baseline=null study.control=null".split()
HERE = "study.dir=results/it"
PROGRAM = ["--", "python", "train.py"]


def begin(program: Path, slurm: Slurm, *words: str) -> subprocess.Popen[str]:
    return start(
        "launch=slurm", *FOUR, HERE, *words, *PROGRAM, cwd=program, environment=slurm.environment
    )


def check_complete(program: Path) -> None:
    """All four runs are there, once each, and agree."""
    study = program / "results" / "it"
    runs = [load_record(path) for path in (study / "runs").glob("*.trace.*.json")]
    assert sorted(run.spec.number for run in runs) == [1, 2, 3, 4]
    assert {run.outcome for run in runs} == {"ok"}
    assert len({json.dumps(run.repeats[0].final, sort_keys=True) for run in runs}) == 1
    assert not [path for path in (study / "runs").iterdir() if path.name.startswith(".")]


def test_a_killed_worker_is_started_again(program: Path, slurm: Slurm) -> None:
    """By the launcher of its node, as on one machine."""
    process = begin(program, slurm)
    wait_until(lambda: training(program))
    os.kill(training(program)[0], signal.SIGKILL)
    finish(process)
    check_complete(program)


def test_jobs_that_are_preempted_run_again(program: Path, slurm: Slurm) -> None:
    """A more important job takes both nodes; Slurm requeues ours."""
    process = begin(program, slurm, "launch.slurm.partition=main")
    wait_until(lambda: training(program))
    urgent = ["--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null"]
    slurm.run("sbatch", *urgent, "--wrap=sleep 3")
    wait_until(lambda: "PENDING" in slurm.jobs().values())
    finish(process)
    check_complete(program)


def test_a_killed_node_loses_no_run(program: Path, slurm: Slurm) -> None:
    """Its job runs on the other node, or there again when it is back."""
    process = begin(program, slurm)
    wait_until(lambda: training(program))
    slurm.kill_node("n1")
    slurm.start_node("n1")
    finish(process)
    check_complete(program)


def test_a_killed_job_is_submitted_again(program: Path, slurm: Slurm) -> None:
    """As after a cancellation that was not ours."""
    process = begin(program, slurm)
    wait_until(lambda: training(program))
    slurm.run("scancel", "--state=RUNNING", "--me")
    finish(process)
    check_complete(program)


def test_a_killed_driver_is_resumed_without_a_second_submission(
    program: Path, slurm: Slurm
) -> None:
    """Its jobs go on, `status` shows them, and `resume` takes them over."""
    process = begin(program, slurm)
    wait_until(lambda: training(program))
    process.kill()
    process.communicate()
    assert slurm.jobs()
    shown = harness("status", "results/it", cwd=program, **slurm.environment)
    assert "running" in shown.stdout, shown.stdout + shown.stderr
    second = start("resume", "results/it", cwd=program, environment=slurm.environment)
    ledger = program / "results" / "it" / "jobs" / "submissions.json"
    while second.poll() is None:
        with suppress(FileNotFoundError):  # removed at the end
            assert len(json.loads(ledger.read_text())) == 1
        time.sleep(0.1)
    finish(second)
    check_complete(program)
    wait_until(lambda: not slurm.jobs())  # they may be completing


def test_an_interrupted_driver_ends_its_jobs(program: Path, slurm: Slurm) -> None:
    """Ctrl-C leaves nothing on the cluster, and `resume` completes the study."""
    process = begin(program, slurm)
    wait_until(lambda: training(program))
    process.terminate()  # handled like Ctrl-C, which a process in the background ignores
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    wait_until(lambda: not slurm.jobs())
    finish(start("resume", "results/it", cwd=program, environment=slurm.environment))
    check_complete(program)


def test_a_block_is_timed_in_one_allocation(program: Path, slurm: Slurm) -> None:
    """One that was interrupted is timed again as a whole: two nodes may differ in speed."""
    words = [*"launch.poll_s=0.2 runs.trace=1 runs.timing=2 study.control=null".split(), HERE]
    words += ["study.repeat_failed=false", "determinism=full", *PROGRAM]
    process = start("launch=slurm", *words, cwd=program, environment=slurm.environment)
    runs = program / "results" / "it" / "runs"
    wait_until(lambda: allocations(runs))
    process.terminate()
    process.communicate(timeout=60)
    wait_until(lambda: not slurm.jobs())
    before = allocations(runs)
    assert any(len(found) < 3 for found in before.values())  # cell, baseline and its twin
    again = start("resume", "results/it", cwd=program, environment=slurm.environment)
    again.communicate(timeout=180)
    after = allocations(runs)
    assert {number: len(found) for number, found in after.items()} == {1: 3, 2: 3}
    assert all(len({*found}) == 1 for found in after.values())
    whole = {number for number, found in before.items() if len(found) == 3}
    assert all(after[number] == before[number] for number in whole)


def allocations(runs: Path) -> dict[int, list[str]]:
    """Of the timed runs that their nodes have completed, by block."""
    found = defaultdict(list)
    for path in runs.glob("*.timing.*.json"):
        if (run := load_record(path)).node:
            found[run.spec.number].append(run.node["allocation"])
    return dict(found)


def test_a_killed_ray_node_loses_no_run(program: Path, ray_nodes: RayNodes) -> None:
    """Ray runs its task on the other node."""
    words = ["launch=ray", f"launch.ray.address={ray_nodes.address}", *FOUR, HERE, *PROGRAM]
    process = start(*words, cwd=program, environment=ray_nodes.environment)
    wait_until(lambda: training(program))
    ray_nodes.kill_second()
    finish(process)
    check_complete(program)


def test_a_killed_ray_driver_is_resumed(program: Path, ray_nodes: RayNodes) -> None:
    """Ray ends its tasks, which are submitted again."""
    words = ["launch=ray", f"launch.ray.address={ray_nodes.address}", *FOUR, HERE, *PROGRAM]
    process = start(*words, cwd=program, environment=ray_nodes.environment)
    wait_until(lambda: training(program))
    process.kill()
    process.communicate()
    finish(start("resume", "results/it", cwd=program, environment=ray_nodes.environment))
    check_complete(program)
