"""A script that knows nothing of the harness: traced, timed and diagnosed in real processes."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from tests.conftest import harness, study_of

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


def words(act: str, *more: str) -> list[str]:
    return [
        "scenario=script",
        "scenario.path=train.py",
        f"scenario.args=[--act,{act}]",
        "device=cpu",
        *more,
    ]


def test_a_script_gets_the_same_tables_as_a_scenario(folder: Path) -> None:
    done = harness(
        "-m",
        *words("plain"),
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


TELLING = """
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


def test_a_loss_that_the_script_tells_is_the_one_that_counts(folder: Path) -> None:
    (folder / "telling.py").write_text(TELLING)
    done = harness(
        "scenario=script",
        "scenario.path=telling.py",
        "determinism=seed",
        "device=cpu",
        "runs.trace=2",
        "runs.timing=0",
        "study.baseline=null",
        "study.control=null",
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for record in (study_of(done, folder) / "runs").glob("*.json"):
        assert json.loads(record.read_text())["repeats"][0]["losses"] == [0.5, 1.5, 2.5]


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


def test_a_module_on_two_ranks_trains_as_under_torchrun_and_leaves_nothing_here(
    folder: Path,
) -> None:
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


def test_a_rank_that_fails_ends_the_run_with_its_own_words(folder: Path) -> None:
    (folder / "lame.py").write_text(
        "import os\nif os.environ['RANK'] == '1':\n    raise ValueError('no leg')\n" + RANKS
    )
    done = harness(
        "scenario=script",
        "scenario.path=lame.py",
        "scenario.processes=2",
        "device=cpu",
        "determinism=seed",
        "runs.trace=1",
        "runs.timing=0",
        "study.baseline=null",
        "study.control=null",
        cwd=folder,
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert "ValueError: no leg" in (study_of(done, folder) / "report.md").read_text()


def test_nothing_of_the_users_environment_reaches_the_script_or_a_record(folder: Path) -> None:
    """A canary in a variable that the script would print and write."""
    (folder / "telling.py").write_text(
        "import os\nprint(os.environ)\nopen('all.txt', 'w').write(str(os.environ))\n" + TELLING
    )
    done = harness(
        "scenario=script",
        "scenario.path=telling.py",
        "determinism=seed",
        "device=cpu",
        "runs.trace=2",
        "runs.timing=0",
        "study.baseline=null",
        "study.control=null",
        cwd=folder,
        MY_API_KEY="c4n4ry",
        ORDINARY="c4n4ry",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    study = study_of(done, folder)
    assert (study / "logs").is_dir()
    written = [path for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in written if b"c4n4ry" in path.read_bytes()]


def test_a_hydra_application_is_a_script_too(folder: Path) -> None:
    (folder / "config.yaml").write_text("lr: 0.1\nsteps: 3\n")
    (folder / "app.py").write_text(
        "import hydra, torch\n"
        "@hydra.main(config_path='.', config_name='config', version_base='1.3')\n"
        "def main(config):\n"
        "    net = torch.nn.Linear(4, 1)\n"
        "    optimizer = torch.optim.SGD(net.parameters(), config.lr)\n"
        "    for _ in range(config.steps):\n"
        "        optimizer.zero_grad()\n"
        "        net(torch.randn(8, 4)).square().mean().backward()\n"
        "        optimizer.step()\n"
        "if __name__ == '__main__':\n"
        "    main()\n"
    )
    done = harness(
        "scenario=script",
        "scenario.path=app.py",
        "scenario.args=['lr=0.2','steps=4']",
        "determinism=seed",
        "device=cpu",
        "runs.trace=2",
        "runs.timing=0",
        "study.baseline=null",
        "study.control=null",
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    study = study_of(done, folder)
    assert pd.read_csv(study / "tables" / "cells.csv")["verdict"].to_list() == ["identical"]
    assert "optimizer steps: 4" in (study / "report.md").read_text()
    assert not (folder / "outputs").exists()


def test_variables_reach_the_script_and_no_secret_is_accepted_among_them(folder: Path) -> None:
    (folder / "told.py").write_text("import os\nraise SystemExit(os.environ['CORPUS'])\n")
    words = [
        "scenario=script",
        "scenario.path=told.py",
        "device=cpu",
        "determinism=seed",
        "runs.trace=1",
        "runs.timing=0",
        "study.baseline=null",
        "study.control=null",
    ]
    done = harness(*words, "scenario.environment={CORPUS: tiny}", cwd=folder)
    assert "told.py raised SystemExit('tiny')" in (study_of(done, folder) / "report.md").read_text()
    refused = harness(*words, "scenario.environment={HF_TOKEN: abcdefgh}", cwd=folder)
    assert refused.returncode == 2
    assert "looks like a secret" in refused.stderr
    assert "abcdefgh" not in refused.stderr


def test_the_line_of_a_script_that_varies_is_named(folder: Path) -> None:
    if torch.get_num_threads() == 1:
        pytest.skip("atomics cannot race on one thread; run this on two cores")
    done = harness("diagnose", *words("race", "determinism=seed", "diagnose.runs=5"), cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((study_of(done, folder) / "diagnosis.json").read_text())
    origin = found["origin_evidence"]["origin"]
    assert origin["operation"]["source"] == "train.py:37"
    assert origin["operation"]["name"].startswith("aten.index_put")
    assert found["origin_evidence"]["difference"]["max_ulp"] > 0
    assert found["faults"] == ["atomics or reduction order"]


@pytest.mark.parametrize(
    ("act", "told"),
    [
        ("fail", "FileNotFoundError: the data are not there"),
        ("exit", "train.py raised SystemExit(3)"),
        ("nothing", "finished without a step of any torch optimizer"),
        ("hang", "exceeded launch.timeout_s"),
    ],
)
def test_a_script_that_does_not_train_says_why(act: str, told: str, folder: Path) -> None:
    limit = "launch.timeout_s=3" if act == "hang" else "launch.timeout_s=60"
    done = harness(
        *words(
            act,
            limit,
            "determinism=seed",
            "runs.trace=1",
            "runs.timing=0",
            "study.baseline=null",
            "study.control=null",
        ),
        cwd=folder,
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert told in (study_of(done, folder) / "report.md").read_text()


@pytest.mark.parametrize("act", ["print", "fork", "change"])
def test_a_script_that_does_odd_things_still_trains(act: str, folder: Path) -> None:
    done = harness(
        *words(
            act,
            "determinism=seed",
            "runs.trace=2",
            "runs.timing=0",
            "study.baseline=null",
            "study.control=null",
        ),
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    study = study_of(done, folder)
    assert pd.read_csv(study / "tables" / "cells.csv")["verdict"].to_list() == ["identical"]
    assert sorted(path.name for path in folder.iterdir()) == ["results", "train.py"]
    if act == "print":
        for log in (study / "logs").iterdir():
            assert log.stat().st_size < 3_000_000
            assert b"bytes left out" in log.read_bytes()


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("scenario.path=other.py", "scenario.path=other.py: no such file"),
        ("scenario.args=[--api-key,abcdefgh]", "looks like a secret"),
        ("scenario.module=train", "a script needs exactly one of scenario.path"),
        ("scenario.copy_limit_mb=0", "scenario.copy_limit_mb=0. Largest entries: train.py"),
    ],
)
def test_a_script_that_cannot_be_run_is_refused(word: str, told: str, folder: Path) -> None:
    done = harness("scenario=script", "scenario.path=train.py", word, cwd=folder)
    assert done.returncode == 2
    assert told in done.stderr
