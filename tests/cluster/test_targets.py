"""The same study on several kinds of node: a study for each, which end and go on together."""

from __future__ import annotations

import subprocess
from pathlib import Path

import psutil
import pytest

from harness.core.exit_codes import FAILED, INTERRUPTED
from tests.cluster.conftest import RayNodes, finish, start, training, wait_until
from tests.cluster.private_slurm import Slurm
from tests.conftest import harness

pytestmark = pytest.mark.cluster

RUNS = ["launch.poll_s=0.5", "runs.trace=2", "runs.timing=0", "study.dir=results/it"]
ALONE = ["study.baseline=null", "study.control=null", "determinism=seed"]
TARGETS = "launch.targets=[left,right]"
PROGRAM = ["--", "python", "train.py"]


def begin(program: Path, slurm: Slurm, *words: str) -> subprocess.Popen[str]:
    typed = ["launch=slurm", TARGETS, *RUNS, *ALONE, *words, *PROGRAM]
    return start(*typed, cwd=program, environment=slurm.environment)


def test_targets_are_studies_side_by_side(program: Path, slurm: Slurm) -> None:
    """One on each node; both have the same bits, as the comparison says."""
    output = finish(begin(program, slurm))
    studies = program / "results" / "it"
    assert {path.name for path in studies.iterdir()} == {
        "left",
        "right",
        "targets.json",
        "compare.svg",
    }
    assert "left: study: " in output
    assert "left (first) and right (second)\n1 cell in common (same bits: 1)" in output
    again = harness("compare", "results/it", cwd=program)
    assert again.returncode == 0, again.stdout + again.stderr
    shown = harness("status", "results/it", cwd=program)
    assert shown.stdout.count("2 of 2 runs are done") == 2


def test_targets_of_ray_are_resources(program: Path, ray_nodes: RayNodes) -> None:
    """Each node of the test has one."""
    address = f"launch.ray.address={ray_nodes.address}"
    words = ["launch=ray", address, TARGETS, *RUNS, *ALONE, *PROGRAM]
    output = finish(start(*words, cwd=program, environment=ray_nodes.environment))
    assert "same bits: 1" in output.replace("\n", " ")


def test_targets_that_had_not_begun_begin_on_resume(program: Path, slurm: Slurm) -> None:
    """SIGTERM ends what runs, and the probe of a node that has no time; nothing stays queued."""
    slurm.run("scontrol", "update", "nodename=n2", "state=drain", "reason=test")
    process = begin(program, slurm)
    wait_until(lambda: training(program))
    process.terminate()
    output, _ = process.communicate(timeout=60)
    slurm.run("scontrol", "update", "nodename=n2", "state=resume")
    assert process.returncode == INTERRUPTED, output
    wait_until(lambda: not slurm.jobs())
    assert not [*(program / "results" / "it").glob(".probe-*")]
    shown = harness("status", "results/it", cwd=program, **slurm.environment)
    assert "results/it/right: has not begun" in shown.stdout
    assert "results/it/left: " in shown.stdout
    finish(start("resume", "results/it", cwd=program, environment=slurm.environment))


def test_a_target_whose_driver_was_killed_is_not_compared(program: Path, slurm: Slurm) -> None:
    """Its study is not complete, which the exit status says."""
    process = begin(program, slurm)
    wait_until(lambda: training(program))
    children = psutil.Process(process.pid).children()
    (right,) = (one for one in children if "study.dir=results/it/right" in one.cmdline())
    right.kill()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == FAILED, output
    assert "in common" not in output
    finish(start("resume", "results/it", cwd=program, environment=slurm.environment))


def test_targets_that_are_all_refused_leave_no_folder(program: Path, slurm: Slurm) -> None:
    """Each says why. The folder's name is one that Hydra would parse."""
    words = ["launch.slurm.partition=nowhere", "study.dir='results/it (1)'"]
    output, _ = begin(program, slurm, *words).communicate(timeout=120)
    assert output.count("invalid partition specified: nowhere") == 2, output
    assert not [*(program / "results").iterdir()]
