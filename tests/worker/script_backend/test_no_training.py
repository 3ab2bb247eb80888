"""Programs that do not train are compared by what they declare, write or else print."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.conftest import FORK, harness, study_of
from tests.worker.script_backend.conftest import words

# Each program, its verdict, and what differs at its end.
PROGRAMS = {
    "infer.py": (
        "import torch\nnet = torch.nn.Linear(4, 2)\nprint(net(torch.randn(3, 4)).sum().item())\n",
        ("identical", ""),
    ),
    "infers_anew.py": (
        (
            "import torch\ntorch.manual_seed(0)\nnet = torch.nn.Linear(4, 2)\ntorch.seed()\n"
            "print(net(torch.randn(3, 4)).sum().item())\n"
        ),
        ("varies", "printed"),
    ),
    "weights.py": (
        "import torch\ntorch.seed()\nnet = torch.nn.Linear(4, 2)\nnet(torch.ones(1, 4))\n",
        ("varies", "params"),
    ),
    "declares.py": (
        "import os, harness\nharness.observe(text='a', noise=os.urandom(4))\n",
        ("varies", "observed noise"),
    ),
    "declares_same.py": (
        (
            "import harness, time\nharness.observe(x=1)\nprint(time.time())\n"
            "open('log.txt', 'w').write(str(time.time()))\n"
        ),
        ("identical", ""),
    ),
    "writes.py": (
        "import os\nos.makedirs('out')\nopen('out/tokens.txt', 'w').write(os.urandom(4).hex())\n",
        ("varies", "files"),
    ),
    "prints.py": ("import os\nprint(os.urandom(4).hex())\n", ("varies", "printed")),
    "prints_its_folder.py": ("import os\nprint(os.getcwd())\n", ("identical", "")),
    "silent.py": ("x = 1\n", ("failed", "")),
}


@pytest.mark.slow
def test_programs_without_training_have_a_verdict(folder: Path) -> None:
    """The verdict rests on weights and what is declared, else written, or else printed."""
    for name, (text, _) in PROGRAMS.items():
        (folder / name).write_text(text)
    done = harness("-m", *words(",".join(PROGRAMS)), "runs.trace=2", FORK, cwd=folder)
    assert done.returncode == 3, done.stdout + done.stderr  # the silent one fails
    study = study_of(done, folder)
    with (study / "tables" / "cells.csv").open() as file:
        rows = {
            row["overrides"].removeprefix("scenario.path="): row for row in csv.DictReader(file)
        }
    seen = {name: (row["verdict"], row["first_component"]) for name, row in rows.items()}
    assert seen == {name: expected for name, (_, expected) in PROGRAMS.items()}
    report = (study / "report.md").read_text()
    assert "They decide the verdict, since no training was observed" in report
    assert "runs are compared by what they declare." in report
    assert (
        "infers_anew.py: no training step was observed; runs are compared by the models that they "
        "call and what they print" in " ".join(done.stdout.split())
    )
    assert "at the end, in observed noise" in report
    assert "there is nothing to compare. Declare its result in the script" in report


@pytest.mark.slow
def test_a_program_without_training_is_timed_as_a_whole(folder: Path) -> None:
    """Its step time is the time of the whole program."""
    (folder / "infer.py").write_text(PROGRAMS["infer.py"][0] + "import time\ntime.sleep(0.2)\n")
    runs = ["runs.trace=1", "runs.timing=2", FORK]
    done = harness(*words("infer.py"), *runs, cwd=folder)
    with (study_of(done, folder) / "tables" / "cells.csv").open() as file:
        assert {float(row["step_ms"]) > 200 for row in csv.DictReader(file)} == {True}
