"""What a cluster or a node cannot do ends the study with one line that names it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from harness.core.exit_codes import BAD_REQUEST, RUNS_FAILED
from tests.cluster.conftest import finish, start, wait_until
from tests.cluster.private_slurm import Slurm
from tests.conftest import harness

pytestmark = pytest.mark.cluster

RUNS = ["launch.poll_s=0.5", "runs.trace=4", "runs.timing=0", "study.dir=results/it"]
ALONE = ["study.baseline=null", "study.control=null"]
PROGRAM = ["--", "python", "train.py"]


def refused(program: Path, slurm: Slurm, *words: str) -> str:
    """The message of a study that nothing came of."""
    process = start(
        "launch=slurm", *RUNS, *ALONE, *words, *PROGRAM, cwd=program, environment=slurm.environment
    )
    output, _ = process.communicate(timeout=120)
    assert process.returncode == BAD_REQUEST, output
    assert not (program / "results" / "it").exists()
    assert not list((program / "results").glob(".probe-*"))
    return output


def test_an_unknown_partition_is_named(program: Path, slurm: Slurm) -> None:
    """In Slurm's own words."""
    output = refused(program, slurm, "launch.slurm.partition=nowhere")
    assert "invalid partition specified: nowhere" in output


def test_a_job_that_never_starts_ends_the_study(program: Path, slurm: Slurm) -> None:
    """After launch.queue_s, with the reason, and it does not stay in the queue."""
    slurm.run("scontrol", "update", "nodename=n1,n2", "state=drain", "reason=test")
    output = refused(program, slurm, "launch.queue_s=3")
    slurm.run("scontrol", "update", "nodename=n1,n2", "state=resume")
    assert "the probe has waited 3 s for a node (launch.queue_s)" in output
    assert "DRAINED" in output
    wait_until(lambda: not slurm.jobs())  # they may be completing


def test_a_node_that_does_not_see_the_folder_is_named(program: Path, slurm: Slurm) -> None:
    """Another file system lies over it there."""
    hide = f'mount -t tmpfs none {program.parent} && exec "$@"'
    with slurm.other_node("n2", "unshare", "--mount", "sh", "-c", hide, "sh"):
        output = refused(program, slurm, "launch.slurm.constraint=right")
    assert "the probe on node n2 ended without an answer; does it see " in output


def test_a_node_with_fewer_cores_is_named(program: Path, slurm: Slurm) -> None:
    """It has one, so torch would use one thread."""
    check_difference(program, slurm, "threads was 2 and is now 1", "taskset", "--cpu-list", "0")


def test_a_node_with_another_torch_is_named(program: Path, slurm: Slurm) -> None:
    """The file that says torch's version is another one there."""
    version = Path(torch.version.__file__)
    other = program.parent / "version.py"
    other.write_text(version.read_text().replace(torch.__version__, "1.0.0"))
    lie = f'mount --bind {other} {version} && exec "$@"'
    difference = f"torch was {torch.__version__} and is now 1.0.0"
    check_difference(program, slurm, difference, "unshare", "--mount", "sh", "-c", lie, "sh")


def check_difference(program: Path, slurm: Slurm, difference: str, *other: str) -> None:
    """A node that is started by ``other`` ends the study; what was measured elsewhere stays."""
    with slurm.other_node("n2", *other):
        process = start(
            "launch=slurm", *RUNS, *ALONE, *PROGRAM, cwd=program, environment=slurm.environment
        )
        output, _ = process.communicate(timeout=120)
    assert process.returncode == RUNS_FAILED, output
    assert "stopped: job script-00" in output
    assert difference in output
    wait_until(lambda: not slurm.jobs())  # they may be completing
    finish(start("resume", "results/it", cwd=program, environment=slurm.environment))


def test_a_cluster_that_is_not_there_is_named(program: Path) -> None:
    """The address of a Ray cluster that answers nothing."""
    pytest.importorskip("ray", reason="needs Ray, which `make setup-cluster` installs")
    words = ["launch=ray", "launch.ray.address=127.0.0.1:1", *RUNS, *ALONE, *PROGRAM]
    done = harness(*words, cwd=program)
    assert done.returncode == BAD_REQUEST, done.stdout + done.stderr
    assert "launch.ray.address=127.0.0.1:1: no Ray cluster answers" in done.stderr
