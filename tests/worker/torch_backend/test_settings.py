"""A setting is applied as asked, and read back as it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from typing import Any

import pytest

from harness.core.spec import Algorithms, Cudnn, Determinism
from tests.conftest import ROOT

PROGRAM = """
import json, random, sys
import numpy as np, torch
from harness.core.spec import Determinism
from harness.worker.torch_backend import settings
settings.apply(Determinism.from_json(json.loads(sys.argv[1])))
draws = [random.random(), np.random.rand(), torch.rand(()).item(), hash("word")]
print(json.dumps({"effective": settings.effective_settings(), "draws": draws}))
"""


def applied(asked: Determinism) -> dict[str, Any]:
    """In a fresh process: what is set here would stay for all other tests."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(asdict(asked))],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **asked.environment()},
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


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
)


def test_every_switch_that_is_set_is_in_effect() -> None:
    assert applied(FULL)["effective"] == {
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
    }


def test_seeds_fix_every_generator_and_the_hash() -> None:
    assert applied(FULL)["draws"] == applied(FULL)["draws"]


def test_none_leaves_every_generator_and_the_hash_free() -> None:
    one, other = (applied(Determinism())["draws"] for _ in range(2))
    assert all(a != b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("mode", list(Algorithms))
def test_each_mode_of_algorithms_reads_back(mode: Algorithms) -> None:
    assert applied(Determinism(algorithms=mode))["effective"]["algorithms"] == mode
