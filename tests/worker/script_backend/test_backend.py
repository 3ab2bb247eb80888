"""Scripts that know nothing of the harness, traced, timed and diagnosed in real processes."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from harness.core.record import Outcome, RunRecord, load_record
from harness.core.verdict import outcome_key
from tests.conftest import FORK, command, harness, study_of
from tests.worker.script_backend.conftest import TRAIN, words

ODD = ("plain", "print", "fork", "change")

FAILING = {
    "fail": "FileNotFoundError: the data are not there",
    "exit": "train.py raised SystemExit(3)",
    "nothing": "there is nothing to compare",
}


@pytest.fixture(scope="module")
def acts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with one cell for each thing that the script can do."""
    folder = tmp_path_factory.mktemp("acts")
    (folder / "train.py").write_text(TRAIN)
    sweep = ",".join(f"[--act,{act}]" for act in (*ODD, *FAILING))
    done = harness("-m", *words("train.py", f"scenario.args={sweep}", "runs.trace=1"), cwd=folder)
    assert done.returncode == 3, done.stdout + done.stderr  # some runs failed
    return study_of(done, folder)


def records(study: Path, act: str) -> list[RunRecord]:
    """The runs of one act, in the order of their numbers."""
    runs = [load_record(path) for path in sorted((study / "runs").glob("*.trace.*.json"))]
    return [run for run in runs if run.spec.cell.scenario.options["args"] == ["--act", act]]


@pytest.mark.parametrize("act", ODD)
def test_a_script_that_does_odd_things_still_trains(act: str, acts: Path) -> None:
    """Printing 10 MB, forking, or changing directory does not change a bit of the training."""
    (run,) = records(acts, act)
    assert {outcome_key(run.repeats[0])} == {
        outcome_key(run.repeats[0]) for other in ODD for run in records(acts, other)
    }


def test_a_long_log_keeps_its_beginning_and_its_end(acts: Path) -> None:
    """A log of 10 MB is cut to 2 MB, and says how much was left out."""
    for run in records(acts, "print"):
        log = acts / "logs" / f"{run.run_id}.log"
        assert log.stat().st_size < 3_000_000
        assert b"bytes left out" in log.read_bytes()


def test_a_script_leaves_nothing_in_its_folder(acts: Path) -> None:
    """Everything that the runs write is in results/."""
    assert sorted(path.name for path in acts.parent.parent.iterdir()) == ["results", "train.py"]


@pytest.mark.parametrize(("act", "message"), FAILING.items())
def test_a_script_that_does_not_train_says_why(act: str, message: str, acts: Path) -> None:
    """A failing cell shows the script's own error, and the other cells are kept."""
    assert all(run.outcome is Outcome.crashed for run in records(acts, act))
    assert message in (acts / "report.md").read_text()


def test_the_terminal_says_why_a_script_failed(acts: Path) -> None:
    """The summary has the script's own error, its log, and what to do about a common cause."""
    done = harness("report", str(acts), cwd=acts)
    lines = " ".join(done.stdout.split())
    assert "failed: train.py (--act fail) under seed: crashed: FileNotFoundError: the data" in lines
    assert "Remedy: runs see a copy of the working directory" in lines
    assert "train.py (--act exit) under seed: crashed" in lines


CRASHES = """
import argparse, os

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int)
parser.parse_args()
os.environ["MISSING"]
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--steps", "x"], "It printed last: train.py: error: argument --steps: invalid int"),
        ([], "KeyError: 'MISSING', at train.py:7. Remedy: runs see few of your variables"),
    ],
)
def test_a_script_that_always_crashes_is_soon_given_up(
    arguments: list[str], why: str, tmp_path: Path
) -> None:
    """After a crash in each cell no run is started, and the terminal says why and where."""
    (tmp_path / "train.py").write_text(CRASHES)
    done = harness(
        "-m", "determinism=none,full", "--", "python", "train.py", *arguments, cwd=tmp_path
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert why in " ".join(done.stdout.split())
    recorded = list((study_of(done, tmp_path) / "runs").glob("script-*.json"))
    assert len(recorded) == 3  # one of each setting, and one of the baseline


@pytest.mark.slow
def test_a_script_that_hangs_exceeds_its_time_limit(folder: Path) -> None:
    """launch.timeout_s ends a script that loops without a step."""
    limits = ["scenario.args=[--act,hang]", "launch.timeout_s=3", "runs.trace=1"]
    done = harness(*words("train.py", *limits), cwd=folder)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "exceeded launch.timeout_s" in (study_of(done, folder) / "report.md").read_text()


@pytest.mark.slow
def test_a_script_gets_the_same_tables_as_a_scenario(folder: Path) -> None:
    """Verdicts and step times of a script stand in the same columns."""
    done = harness(
        "-m",
        "scenario=script",
        "scenario.path=train.py",
        "device=cpu",
        "determinism=none,seed",
        "runs.trace=2",
        "runs.timing=2",
        "timing.warmup=1",
        "study.control=null",
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    cells = pd.read_csv(study_of(done, folder) / "tables" / "cells.csv")
    verdicts = cells[~cells["twin"]].set_index("determinism")["verdict"].to_dict()
    assert verdicts == {"none": "varies", "seed": "identical"}
    assert (cells["step_ms"] > 0).all()


REPORTING = """
import torch
import harness
net = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(net.parameters(), 0.1)
for step in range(3):
    optimizer.zero_grad()
    net(torch.ones(2, 3)).sum().backward()
    harness.observe(loss=step + 0.5)
    optimizer.step()
"""


@pytest.mark.slow
def test_the_loss_that_a_script_reports_is_the_one_recorded(folder: Path) -> None:
    """harness.observe(loss=...) replaces the tensor at which the backward pass began."""
    (folder / "reporting.py").write_text(REPORTING)
    done = harness(*words("reporting.py", "runs.trace=2"), cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    for record in (study_of(done, folder) / "runs").glob("*.json"):
        assert json.loads(record.read_text())["repeats"][0]["losses"] == [0.5, 1.5, 2.5]


@pytest.mark.slow
def test_nothing_of_the_users_environment_reaches_the_script_or_a_record(folder: Path) -> None:
    """A canary in a variable that the script would print and write is in no file."""
    (folder / "reporting.py").write_text(
        "import os\nprint(os.environ)\nopen('all.txt', 'w').write(str(os.environ))\n" + REPORTING
    )
    variables = {"MY_API_KEY": "c4n4ry", "ORDINARY": "c4n4ry"}
    done = harness(*words("reporting.py", "runs.trace=2"), cwd=folder, **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (study_of(done, folder) / "logs").is_dir()
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in written if b"c4n4ry" in path.read_bytes()]


HYDRA_APP = """
import hydra, torch
@hydra.main(config_path='.', config_name='config', version_base='1.3')
def main(config):
    net = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(net.parameters(), config.lr)
    for _ in range(config.steps):
        optimizer.zero_grad()
        net(torch.randn(8, 4)).square().mean().backward()
        optimizer.step()
if __name__ == '__main__':
    main()
"""


@pytest.mark.slow
def test_a_hydra_application_is_a_script_too(folder: Path) -> None:
    """Its overrides are arguments, and its outputs stay in the private copy."""
    (folder / "config.yaml").write_text("lr: 0.1\nsteps: 3\n")
    (folder / "app.py").write_text(HYDRA_APP)
    arguments = "scenario.args=['lr=0.2','steps=4']"
    done = harness(*words("app.py", arguments, "runs.trace=2"), cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    study = study_of(done, folder)
    assert pd.read_csv(study / "tables" / "cells.csv")["verdict"].to_list() == ["identical"]
    assert "optimizer steps: 4" in (study / "report.md").read_text()
    assert not (folder / "outputs").exists()


@pytest.mark.slow
def test_variables_reach_the_script(folder: Path) -> None:
    """scenario.environment sets variables for the script."""
    (folder / "corpus.py").write_text("import os\nraise SystemExit(os.environ['CORPUS'])\n")
    variables = "scenario.environment={CORPUS: tiny}"
    done = harness(*words("corpus.py", variables, "runs.trace=1"), cwd=folder)
    report = (study_of(done, folder) / "report.md").read_text()
    assert "corpus.py raised SystemExit('tiny')" in report


@pytest.mark.long
def test_the_line_of_a_script_that_varies_is_named(folder: Path) -> None:
    """The origin of a race is the line of the script that indexes."""
    if torch.get_num_threads() == 1:
        pytest.skip("atomics cannot race on one thread; run this on two cores")
    done = harness(
        "diagnose",
        "scenario=script",
        "scenario.path=train.py",
        "scenario.args=[--act,race]",
        "device=cpu",
        "determinism=seed",
        "diagnose.runs=5",
        FORK,
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads((study_of(done, folder) / "diagnosis.json").read_text())
    origin = document["origin_evidence"]["origin"]
    assert origin["operation"]["source"] == "train.py:37"
    assert origin["operation"]["name"].startswith("aten.index_put")
    assert document["origin_evidence"]["difference"]["max_ulp"] > 0
    assert document["faults"] == ["atomics or reduction order"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("scenario.path=other.py", "scenario.path=other.py: no such file"),
        ("scenario.args=[--api-key,abcdefgh]", "looks like a secret"),
        ("scenario.environment={HF_TOKEN: abcdefgh}", "looks like a secret"),
        pytest.param(
            "scenario.module=train",
            "a script needs exactly one of scenario.path",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "scenario.copy_limit_mb=0",
            "scenario.copy_limit_mb=0. Largest entries: train.py",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_script_that_cannot_be_run_is_refused(word: str, message: str, folder: Path) -> None:
    """What is wrong is named, a secret is not repeated, and nothing is created."""
    done = command("scenario=script", "scenario.path=train.py", word, cwd=folder)
    assert done.returncode == 2
    assert message in done.stderr
    assert "abcdefgh" not in done.stderr
