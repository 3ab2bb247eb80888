"""A setting is applied as requested, and read back as it is in effect."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from typing import Any

import pytest

from harness.core.spec import Algorithms, Cudnn, Determinism, Seeds
from tests.conftest import ROOT

# Imports torch once and applies each setting in a child of its own.
PROGRAM = """
import json, os, random, sys
import numpy as np, torch
from harness.core.spec import Determinism
from harness.worker.torch_backend import settings
for document in json.loads(sys.argv[1]):
    if os.fork() == 0:
        settings.apply(Determinism.from_json(document))
        draws = [random.random(), np.random.rand(), torch.rand(()).item(), hash("word")]
        answer = {"effective": settings.effective_settings(), "draws": draws}
        os.write(1, (json.dumps(answer) + "\\n").encode())
        os._exit(0)
    os.wait()
"""

FULL = Determinism(
    seed=7,
    python_hash_seed=3,
    cublas_workspace=":4096:8",
    cudnn=Cudnn(enabled=False, deterministic=True, benchmark=False),
    algorithms=Algorithms.require,
    fill_uninitialized_memory=False,
    threads=1,
    tf32=True,
    matmul_precision="high",
    cpu_capability="default",
    attention="math",
)
Answers = dict[str, list[dict[str, Any]]]
MODES = [Determinism(algorithms=mode) for mode in Algorithms]
ONE_SEED = [
    Determinism(seed=7, seeds=Seeds(name == "python", name == "numpy", name == "torch"))
    for name in ("python", "numpy", "torch")
]


def start(*settings: Determinism) -> subprocess.Popen[str]:
    """A fresh interpreter in the environment of the first setting."""
    variables = settings[0].environment()
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, json.dumps([asdict(setting) for setting in settings])],
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **variables},
    )


@pytest.fixture(scope="module")
def answers() -> Answers:
    """What was in effect and drawn in two processes under FULL and in two without a setting."""
    none = Determinism()
    processes = [start(FULL), start(FULL), start(none), start(none, *MODES, *ONE_SEED)]
    outputs = [process.communicate()[0].splitlines() for process in processes]
    one, two, three, (four, *modes) = [[json.loads(line) for line in lines] for lines in outputs]
    modes, one_seed = modes[: len(MODES)], modes[len(MODES) :]
    return {"full": [*one, *two], "none": [*three, four], "modes": modes, "one_seed": one_seed}


def test_every_requested_switch_is_in_effect(answers: Answers) -> None:
    """The effective settings read back from torch equal the requested ones."""
    assert answers["full"][0]["effective"] == {
        "seed": 7,
        "python_hash_seed": 3,
        "cublas_workspace": ":4096:8",
        "cudnn.enabled": False,
        "cudnn.deterministic": True,
        "cudnn.benchmark": False,
        "algorithms": "require",
        "fill_uninitialized_memory": False,
        "threads": 1,
        "tf32": True,
        "matmul_precision": "high",
        "cpu_capability": "default",
        "attention": "math",
    }


def test_seeds_fix_every_generator_and_the_hash(answers: Answers) -> None:
    """With all seeds set, two processes draw the same numbers and hash a string alike."""
    first, second = (answer["draws"] for answer in answers["full"])
    assert first == second


def test_without_seeds_every_generator_and_the_hash_vary(answers: Answers) -> None:
    """Without seeds, two processes differ in each draw and in the hash of a string."""
    first, second = (answer["draws"] for answer in answers["none"])
    assert all(a != b for a, b in zip(first, second, strict=True))


def test_each_generator_can_be_seeded_alone(answers: Answers) -> None:
    """With the seed of one generator, only its draw is that of a process with all seeds."""
    seeded = answers["full"][0]["draws"]
    for index, answer in enumerate(answers["one_seed"]):
        equal = [a == b for a, b in zip(answer["draws"][:3], seeded[:3], strict=True)]
        assert equal == [place == index for place in range(3)]


def test_each_mode_of_deterministic_algorithms_is_read_back(answers: Answers) -> None:
    """The effective mode of deterministic algorithms is the requested one."""
    modes = [answer["effective"]["algorithms"] for answer in answers["modes"]]
    assert modes == [str(mode) for mode in Algorithms]
