"""All runs of a script start from one copy of its folder."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import harness, study_of
from tests.worker.script_backend.conftest import words

EDITS = """
# Somebody edits a module of this program between two runs of it.
import pathlib, torch
from rate import RATE
net = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(net.parameters(), RATE)
for step in range(3):
    optimizer.zero_grad()
    net(torch.randn(4, 3)).sum().backward()
    optimizer.step()
pathlib.Path({folder!r}, "rate.py").write_text("RATE = 0.2")
"""


@pytest.mark.slow
def test_an_edit_during_a_study_changes_no_run(folder: Path) -> None:
    """All runs see the folder as it was, its digest is in the manifest, and the copy is deleted."""
    (folder / "edits.py").write_text(EDITS.format(folder=str(folder)))
    (folder / "rate.py").write_text("RATE = 0.1")
    done = harness(*words("edits.py", "runs.trace=2"), cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    study = study_of(done, folder)
    assert pd.read_csv(study / "tables" / "cells.csv")["verdict"].to_list() == ["identical"]
    assert json.loads((study / "manifest.json").read_text())["source"]["files"] == 3
    assert not (study / "source").exists()
    next((study / "runs").glob("*.json")).unlink()
    again = harness("resume", str(study), cwd=folder)
    assert again.returncode == 2
    assert "the files in this folder have changed" in again.stderr
    (folder / "rate.py").write_text("RATE = 0.1")
    again = harness("resume", str(study), cwd=folder)
    assert again.returncode == 0, again.stderr
    assert pd.read_csv(study / "tables" / "cells.csv")["verdict"].to_list() == ["identical"]
