"""The replay of a script through its own checkpoint names what that lacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import command, harness, study_of

TRAIN = """
import argparse, random
import numpy as np, torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=9)
parser.add_argument("--resume", action="store_true")
parser.add_argument("--lacks", default="")
parser.add_argument("--plan", action="store_true")
options = parser.parse_args()

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(0.2))
        self.head = nn.Linear(8, 1)
    def forward(self, x):
        return self.head(self.layers(x))

data = torch.randn(90, 8)
net = Net()
optimizer = torch.optim.Adam(net.parameters(), 1e-2)
ends = options.steps if options.plan else 9
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, ends)

def state():
    return {
        "weights": net.state_dict(), "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(), "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(), "python": random.getstate(),
    }

order, start, offset = np.random.permutation(90), 0, 0
if options.resume:
    saved = torch.load("last.pt", weights_only=False)
    start = saved["step"]
    net.load_state_dict(saved["weights"])
    if options.lacks != "optimizer":
        optimizer.load_state_dict(saved["optimizer"])
    if options.lacks != "scheduler":
        scheduler.load_state_dict(saved["scheduler"])
    if options.lacks == "position":
        offset = -start
    if options.lacks != "torch":
        torch.set_rng_state(saved["torch"])
    if options.lacks != "numpy":
        np.random.set_state(saved["numpy"])
    if options.lacks != "python":
        random.setstate(saved["python"])

for step in range(start, options.steps):
    batch = data[order[(step + offset) * 10 : (step + offset + 1) * 10]]
    batch = batch + np.random.rand() + random.random()
    loss = net(batch).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
torch.save({"step": options.steps, **state()}, "last.pt")
"""
OPTIONS = ["determinism=seed", "device=cpu", "--save", "--steps 4", "--resume=--resume"]


def replay(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Return the exit status of a replay of the script and its document."""
    (folder / "train.py").write_text(TRAIN)
    done = harness("replay", *OPTIONS, "--", "python", "train.py", *arguments, cwd=folder)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    document = json.loads((study_of(done, folder) / "replay.json").read_text())
    assert document["paragraph"] in done.stdout
    return done.returncode, document


@pytest.mark.slow
def test_a_complete_checkpoint_of_a_script_resumes_exactly(tmp_path: Path) -> None:
    """Resumed from every state, the rest of the training is bitwise equal, and nothing is left."""
    status, result = replay(tmp_path)
    assert (status, result["diverges_at"]) == (0, "")
    assert (result["saved_after"], result["steps"]) == (4, 9)
    assert "it is bitwise identical to the uninterrupted training" in result["paragraph"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results", "train.py"]


LACKS = [
    ("optimizer", "step 5, first in params"),
    pytest.param("torch", "step 5, first in loss", marks=pytest.mark.long),
    pytest.param("numpy", "step 5, first in batch", marks=pytest.mark.long),
    pytest.param("python", "step 5, first in batch", marks=pytest.mark.long),
    pytest.param("scheduler", "step 6, first in params", marks=pytest.mark.long),
]


@pytest.mark.slow
@pytest.mark.parametrize(("lacks", "place"), LACKS)
def test_the_state_that_a_script_does_not_restore_is_named(
    lacks: str, place: str, tmp_path: Path
) -> None:
    """Of all states only the one that is not restored differs, and the training needs it."""
    status, result = replay(tmp_path, "--lacks", lacks)
    part = lacks if lacks in ("optimizer", "scheduler") else f"{lacks}_rng"
    assert status == 1
    assert result["missing"] == [part]
    assert result["not_restored"] == [part]
    assert result["full_diverges_at"] == ""
    assert place in result["diverges_at"]


@pytest.mark.slow
def test_a_position_in_the_data_that_is_not_restored_is_named(tmp_path: Path) -> None:
    """No state differs, but the order of the data does: the batches tell."""
    status, result = replay(tmp_path, "--lacks", "position")
    assert status == 1
    assert result["diverges_at"] == "at step 5, first in batch"
    assert "the position in the data" in result["paragraph"]


@pytest.mark.long
def test_a_part_that_trains_otherwise_is_told(tmp_path: Path) -> None:
    """A learning rate planned over fewer steps differs before any restart."""
    status, result = replay(tmp_path, "--plan")
    assert status == 1
    assert result["part_diverges_at"].startswith("at step 2, first in params")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "replay of a script needs --save"),
        (["--save", "--steps 4"], "replay of a script needs --save"),
        (["--resume", "x", "--save"], "replay of a script needs --save"),
        (["--save", "'", "--resume", "x"], "--save ': No closing quotation"),
    ],
)
def test_a_replay_of_a_script_needs_both_arguments(
    options: list[str], message: str, tmp_path: Path
) -> None:
    """Without them, or with an open quote, nothing is run."""
    (tmp_path / "train.py").write_text(TRAIN)
    done = command("replay", *options, "--", "python", "train.py", cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert not (tmp_path / "results").exists()
