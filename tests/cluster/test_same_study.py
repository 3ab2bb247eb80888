"""A study on a cluster is the study of one machine: the same runs with the same bits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.record import RunRecord, load_record
from harness.core.spec import Kind
from harness.factors.preload import compiled
from tests.cluster.conftest import RayNodes, start
from tests.cluster.private_slurm import Slurm
from tests.conftest import ROOT

pytestmark = pytest.mark.cluster

# 36 runs in 8 jobs
SMALL = """
    -m scenario=mlp,indexing determinism=none,seed,warn,full device=cpu runs.trace=4 runs.timing=2
    timing.min_s=0.05 study.repeat_failed=false launch.isolation=fork launch.poll_s=1
    study.dir=results/it
""".split()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The study on this machine."""
    folder = tmp_path_factory.mktemp("local")
    process = start(*SMALL, cwd=folder, environment=dict(os.environ))
    process.communicate()
    return folder / "results" / "it"


def records(study: Path) -> dict[str, RunRecord]:
    paths = (study / "runs").glob("*.t*.json")
    return {record.run_id: record for record in map(load_record, paths)}


def ends(study: Path) -> dict[str, list[dict[str, str]]]:
    """The final digests of each deterministic trace run."""
    return {
        run.run_id: [repeat.final for repeat in run.repeats]
        for run in records(study).values()
        if run.spec.kind is Kind.trace and run.spec.cell.setting == "full"
    }


def check_same(study: Path, local: Path) -> None:
    runs = records(study)
    assert runs.keys() == records(local).keys()
    assert len(runs) >= 36
    assert ends(study) == ends(local)
    assert all(run.node["allocation"] and run.node["cpu"] for run in runs.values())


def test_slurm_makes_the_study_of_one_machine(tmp_path: Path, slurm: Slurm, local: Path) -> None:
    """The runs of one scenario's block come from one allocation."""
    process = start("launch=slurm", *SMALL, cwd=tmp_path, environment=slurm.environment)
    process.communicate(timeout=400)
    study = tmp_path / "results" / "it"
    check_same(study, local)
    blocks: dict[tuple[str, int], set[str]] = {}
    for run in records(study).values():
        key = run.spec.cell.scenario.label, run.spec.number
        blocks.setdefault(key, set()).add(run.node["allocation"])
    assert {len(allocations) for allocations in blocks.values()} == {1}
    assert not (study / "jobs").exists()  # needed no more


def test_ray_makes_the_study_of_one_machine(
    tmp_path: Path, ray_nodes: RayNodes, local: Path
) -> None:
    """Each task has one allocation, too."""
    words = ["launch=ray", f"launch.ray.address={ray_nodes.address}", *SMALL]
    process = start(*words, cwd=tmp_path, environment=ray_nodes.environment)
    process.communicate(timeout=400)
    check_same(tmp_path / "results" / "it", local)


def test_a_users_shell_and_folder_disturb_nothing(program: Path, slurm: Slurm) -> None:
    """A filter of squeue, a `%` in the path, a module named like one of Python's.

    Nor do options that only `sbatch` knows, a program that starts Python in its turn, and a node
    whose clock is 100 days behind.
    """
    folder = program.rename(program.parent / "100%j")
    (folder / "tomllib.py").write_text('raise ImportError("another tomllib")\n')
    clock = ["env", f"LD_PRELOAD={compiled('clock')}", "HARNESS_CLOCK_SHIFT_S=-8640000"]
    prefix = ",".join(f'"{word}"' for word in clock)
    words = "launch=slurm launch.poll_s=0.5 runs.trace=2 runs.timing=0 study.baseline=null".split()
    words += ['launch.slurm.options=["--comment=mine"]', f"launch.slurm.prefix=[{prefix}]"]
    words += ["study.control=null", "study.dir=results/it", "--", "python", "train.py"]
    call = f"import runpy, sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv[0] = 'harness'"
    run = "runpy.run_module('harness', run_name='__main__', alter_sys=True)"
    environment = {**slurm.environment, "SQUEUE_STATES": "PENDING"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"{call}; {run}", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(records(folder / "results" / "it")) == 2
