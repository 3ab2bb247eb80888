"""Programs in the idioms of popular examples, judged as their own plain runs judge them.

Each program prints a digest of its final parameters. Whether these digests differ between runs of
plain Python is the truth that the harness's verdict is compared with.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import harness, study_of

IDIOMS = Path(__file__).resolve().parent
OTHER_FILES = {"nanogpt_like.py": "configurator.py", "hydra_app.py": "config.yaml"}
RUNS = 3
WORDS = [
    "-m",
    "device=cpu",
    f"runs.trace={RUNS}",
    "runs.timing=0",
    "determinism.threads=1",
    "study.baseline=null",
    "study.control=null",
]
VARIES, IDENTICAL = "varies", "identical"


@dataclass(frozen=True)
class Case:
    """A command, and the verdict that is right under each setting; `none` runs it as it is."""

    command: str  # a program and its arguments
    verdicts: dict[str, str]
    earlier: str = ""  # the command of an earlier run, whose files this one finds

    @property
    def program(self) -> str:
        return self.command.split()[0]

    @property
    def id(self) -> str:
        return self.command.replace(".py", "").replace(" ", "_")


UNSEEDED, SEEDED = {"none": VARIES}, {"none": IDENTICAL}
CASES = [
    Case("nanogpt_like.py", SEEDED),
    Case("nanogpt_like.py --seed=-1", {"none": VARIES, "seed": IDENTICAL}),
    Case("nanogpt_like.py --init_from=resume", SEEDED, "nanogpt_like.py --max_iters=10"),
    Case("mingpt_like.py", UNSEEDED),
    Case("mingpt_like.py --seed 3", SEEDED),
    Case("sgd_language_model.py", UNSEEDED),
    Case("sgd_language_model.py --seed 3", SEEDED),
    Case("lbfgs_sine.py", UNSEEDED),
    Case("lbfgs_sine.py --seed 3", SEEDED),
    # Without the option it draws a seed, from a generator that the setting seeds.
    Case("dcgan.py", {"none": VARIES, "seed": IDENTICAL}),
    Case("dcgan.py --manualSeed 3", SEEDED),
    # The environment has its own generator, which global seeds do not reach.
    Case("actor_critic.py", {"none": VARIES, "seed": VARIES}),
    Case("actor_critic.py --seed 3", SEEDED),
    # Processes race for the shared parameters, whatever the seed.
    Case("hogwild.py", UNSEEDED),
    Case("hogwild.py --seed 3", {"none": VARIES}),
    Case("vae.py", UNSEEDED),
    Case("vae.py --seed 3", SEEDED),
    Case("hydra_app.py", UNSEEDED),
    Case("hydra_app.py lr=0.1 seed=3", SEEDED),
    Case("hashseed.py", SEEDED),
    Case("hashseed.py --any-hash-seed", {"none": VARIES, "seed": VARIES, "full": IDENTICAL}),
    Case("resuming_trainer.py", UNSEEDED),
    Case("resuming_trainer.py --seed 3", SEEDED),
    # The checkpoint holds the states of the generators.
    Case("resuming_trainer.py --resume --epochs 4", SEEDED, "resuming_trainer.py --seed 3"),
]


# One command of each of these is tried with the slow tests, all others with the long ones.
QUICK = ("nanogpt_like.py", "lbfgs_sine.py", "hydra_app.py", "hashseed.py", "resuming_trainer.py")


def _marked(case: Case) -> object:
    first = next(one for one in CASES if one.program == case.program)
    is_quick = case is first and case.program in QUICK
    return pytest.param(case, id=case.id, marks=pytest.mark.slow if is_quick else pytest.mark.long)


@pytest.mark.parametrize("case", [_marked(case) for case in CASES])
def test_a_verdict_agrees_with_plain_runs(case: Case, tmp_path: Path) -> None:
    """A program as it is varies in the harness exactly if it varies in plain Python."""
    project = make_project(case, tmp_path / "project")
    with ThreadPoolExecutor(1) as beside:  # the machine has two cores
        plain = beside.submit(plain_digests, case.command, project, tmp_path)
        verdicts = judge(case.command, case.verdicts, project)
    assert (verdicts["none"] == VARIES) == (len(set(plain.result())) > 1)
    assert verdicts == case.verdicts


def make_project(case: Case, folder: Path) -> Path:
    """Make the folder of a program, with the files of an earlier run if there was one."""
    folder.mkdir()
    for name in filter(None, (case.program, OTHER_FILES.get(case.program))):
        shutil.copy(IDIOMS / name, folder)
    if case.earlier:
        run_plainly(case.earlier, folder)
    return folder


def plain_digests(command: str, project: Path, tmp_path: Path) -> list[str]:
    """Return the digests that runs of plain Python print, each in a fresh copy of the folder."""
    folders = [tmp_path / f"plain{number}" for number in range(RUNS)]
    for folder in folders:
        shutil.copytree(project, folder, ignore=shutil.ignore_patterns("results"))
    return [run_plainly(command, folder) for folder in folders]


def run_plainly(command: str, folder: Path) -> str:
    """Return the digest that a run prints in its last line."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONHASHSEED"}
    done = subprocess.run(
        [sys.executable, *command.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    word, digest = done.stdout.strip().split("\n")[-1].split()
    assert word == "digest"
    return digest


def judge(command: str, settings: Iterable[str], project: Path) -> dict[str, str]:
    """Return the harness's verdict by setting."""
    words = [*WORDS, f"determinism={','.join(settings)}", "--", "python", *command.split()]
    done = harness(*words, cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    cells = pd.read_csv(study_of(done, project) / "tables" / "cells.csv", keep_default_na=False)
    assert set(cells["runs_ok"]) == {RUNS}
    return dict(zip(cells["determinism"], cells["verdict"], strict=True))
