"""A script on several ranks is observed as under torchrun."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import harness, study_of
from tests.worker.script_backend.conftest import words

RANKS = """
import os
assert os.environ["OMP_NUM_THREADS"] == "1"  # torchrun's default for several ranks
os.environ["OMP_NUM_THREADS"] = "2"
import torch
from torch import nn
torch.distributed.init_process_group("gloo")
net = nn.parallel.DistributedDataParallel(nn.Linear(8, 2))
optimizer = torch.optim.SGD(net.parameters(), 0.1)
for step in range(4):
    optimizer.zero_grad()
    net(torch.randn(16, 8)).square().mean().backward()
    optimizer.step()
assert torch.get_num_threads() == 2
if torch.distributed.get_rank() == 0:
    torch.save(net.state_dict(), "model.pt")
torch.distributed.destroy_process_group()
"""


@pytest.mark.long
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


RANK_ONE_VARIES = """
import os, torch
torch.distributed.init_process_group("gloo")
norm = torch.nn.parallel.DistributedDataParallel(torch.nn.BatchNorm1d(4), broadcast_buffers=False)
optimizer = torch.optim.SGD(norm.parameters(), 0.1)
source = torch.Generator().manual_seed(
    int.from_bytes(os.urandom(4), "little") if torch.distributed.get_rank() else 0
)
for step in range(4):
    optimizer.zero_grad()
    (norm(torch.randn(8, 4, generator=source)) * 0).sum().backward()
    optimizer.step()
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_a_difference_on_another_rank_is_seen(folder: Path) -> None:
    """Statistics that vary on rank 1 alone make the training vary, in a timing run too."""
    (folder / "one.py").write_text(RANK_ONE_VARIES)
    (folder / "none.py").write_text(RANK_ONE_VARIES.replace("os.urandom(4)", "bytes(4)"))
    timed = ["runs.timing=2", "timing.warmup=1", "runs.trace=2"]
    done = harness("-m", *words("one.py,none.py", "scenario.processes=2", *timed), cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    cells = pd.read_csv(study_of(done, folder) / "tables" / "cells.csv")
    assert cells["verdict"].to_list() == ["varies", "identical"]
    assert "rank 1" in done.stdout
