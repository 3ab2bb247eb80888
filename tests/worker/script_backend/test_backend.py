"""Scripts that know nothing of the harness, traced, timed and diagnosed in real processes."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from harness.core.record import Outcome, RunRecord, load_record
from harness.core.verdict import outcome_key
from tests.conftest import TRACES_ONLY, command, harness, study_of

TRAIN = """
import argparse, os, sys
import torch
from torch import nn

def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--act", default="plain")
    parser.add_argument("--steps", type=int, default=6)
    args = parser.parse_args()
    if args.act == "fail":
        raise FileNotFoundError("the data are not there")
    if args.act == "exit":
        sys.exit(3)
    if args.act == "nothing":
        return
    if args.act == "hang":
        while True:
            pass
    if args.act == "print":
        for _ in range(100):
            print("x" * 100_000)
    if args.act == "fork":
        os.fork()  # the child goes on, as the parent does
    if args.act == "change":
        os.chdir("/")
    net = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 2))
    table = torch.randn(64, requires_grad=True)
    optimizers = [torch.optim.Adam(net.parameters(), 1e-2), torch.optim.SGD([table], 0.1)]
    for step in range(args.steps):
        for one in optimizers:
            one.zero_grad()
        loss = net(torch.randn(16, 20)).square().mean()
        loss.backward()
        if args.act == "race":
            index = torch.randint(64, (100_000,))
            (table[index] * torch.randn(100_000)).sum().backward()
            optimizers[1].step()
        optimizers[0].step()
    sys.exit(0)

if __name__ == "__main__":
    main()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(TRAIN)
    return tmp_path


def words(path: str, *more: str) -> list[str]:
    return [
        "scenario=script",
        f"scenario.path={path}",
        "determinism=seed",
        "device=cpu",
        *TRACES_ONLY,
        *more,
    ]


ODD = ("plain", "print", "fork", "change")
FAILING = {
    "fail": "FileNotFoundError: the data are not there",
    "exit": "train.py raised SystemExit(3)",
    "nothing": "finished without a step of any torch optimizer",
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


# Small programs that an observer has misread, changed or broken, and what is true of them.
TRAPS = {
    "hidden.py": """
# A caught exception in a forward once hid every later model, such as this one's running mean.
import os, torch
from torch.utils.checkpoint import checkpoint
net, norm = torch.nn.Linear(4, 1), torch.nn.BatchNorm1d(4)
optimizer = torch.optim.SGD(net.parameters(), 0.1)
for step in range(3):
    optimizer.zero_grad()
    checkpoint(net, torch.randn(4, 4), use_reentrant=False).sum().backward()
    optimizer.step()
    noise = torch.Generator().manual_seed(int.from_bytes(os.urandom(4), "little"))
    with torch.no_grad():
        norm(torch.randn(4, 4, generator=noise))
""",
    "late.py": """
# A tensor that joins an optimizer after its first step.
import os, torch
net = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(net.parameters(), 0.1)
for step in range(3):
    if step == 1:
        noise = torch.Generator().manual_seed(int.from_bytes(os.urandom(4), "little"))
        extra = torch.nn.Parameter(torch.randn(5, generator=noise))
        optimizer.add_param_group({"params": [extra]})
    optimizer.zero_grad()
    loss = net(torch.randn(4, 3)).sum() + (extra.sum() * 0 if step else 0)
    loss.backward()
    optimizer.step()
""",
    "names.py": """
# Arguments without bits, in a loop that skips whatever fails.
import numpy as np, torch
class Net(torch.nn.Linear):
    def forward(self, x, names=None, owner=None):
        return super().forward(x)
net = Net(3, 1)
optimizer = torch.optim.SGD(net.parameters(), 0.1)
for step in range(3):
    try:
        optimizer.zero_grad()
        net(torch.randn(4, 3), names=np.array(["a", "b"]), owner=object()).sum().backward()
        optimizer.step()
    except Exception:
        raise SystemExit("the observer raised into the training")
""",
    "precision.py": """
# The newer interface of TF32, after which torch refuses to read the older one.
import os, torch
os.environ["PYTHONHASHSEED"] = "7"  # too late to have an effect
torch.backends.cuda.matmul.fp32_precision = "tf32"
child = os.fork()
if child == 0:
    raise SystemExit(3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
net = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(net.parameters(), 0.1)
for step in range(3):
    optimizer.zero_grad()
    torch.autograd.backward(loss for loss in [net(torch.randn(4, 3)).sum()])
    optimizer.step()
assert net.weight.grad is not None
""",
}


@pytest.mark.slow
def test_programs_that_were_once_misread_have_their_verdict(folder: Path) -> None:
    """What varies is seen to vary, and what was disturbed by observation runs to its end."""
    for name, text in TRAPS.items():
        (folder / name).write_text(text)
    done = harness("-m", *words(",".join(TRAPS), "runs.trace=2"), cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    study = study_of(done, folder)
    cells = pd.read_csv(study / "tables" / "cells.csv").set_index("overrides")["verdict"]
    verdicts = {words.removeprefix("scenario.path="): cell for words, cell in cells.items()}
    assert verdicts == {
        "hidden.py": "varies",
        "late.py": "varies",
        "names.py": "identical",
        "precision.py": "identical",
    }
    for record in records_of(study, "precision.py"):
        assert record.effective["python_hash_seed"] is None
        assert record.effective["tf32"] is True


def records_of(study: Path, path: str) -> list[RunRecord]:
    runs = [load_record(file) for file in sorted((study / "runs").glob("*.trace.*.json"))]
    return [run for run in runs if run.spec.cell.scenario.options["path"] == path]


RANKS = """
import torch
from torch import nn
torch.distributed.init_process_group("gloo")
net = nn.parallel.DistributedDataParallel(nn.Linear(8, 2))
optimizer = torch.optim.SGD(net.parameters(), 0.1)
for step in range(4):
    optimizer.zero_grad()
    net(torch.randn(16, 8)).square().mean().backward()
    optimizer.step()
if torch.distributed.get_rank() == 0:
    torch.save(net.state_dict(), "model.pt")
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_a_module_on_two_ranks_trains_as_under_torchrun(folder: Path) -> None:
    """Two ranks find each other, agree, and leave nothing in the folder but results/."""
    (folder / "package").mkdir()
    (folder / "package" / "ranks.py").write_text(RANKS)
    done = harness(
        "scenario=script",
        "scenario.module=package.ranks",
        "scenario.processes=2",
        "device=cpu",
        "determinism=seed",
        "runs.trace=2",
        "runs.timing=2",
        "timing.warmup=1",
        "study.baseline=null",
        "study.control=null",
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    study = study_of(done, folder)
    assert pd.read_csv(study / "tables" / "cells.csv")["verdict"].to_list() == ["identical"]
    assert sorted(path.name for path in folder.iterdir()) == ["package", "results", "train.py"]
    assert "model.pt" in (study / "report.md").read_text()
    assert "written files differ" not in (study / "report.md").read_text()


@pytest.mark.slow
def test_a_rank_that_fails_ends_the_run_with_its_own_error(folder: Path) -> None:
    """The error of rank 1 is in the report."""
    (folder / "lame.py").write_text(
        "import os\nif os.environ['RANK'] == '1':\n    raise ValueError('no leg')\n" + RANKS
    )
    done = harness(*words("lame.py", "scenario.processes=2", "runs.trace=1"), cwd=folder)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "ValueError: no leg" in (study_of(done, folder) / "report.md").read_text()


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


@pytest.mark.slow
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
