"""Tests that need a CUDA device."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from harness.scenarios import mlp

from harness.scenario import Context
from harness.worker.torch_backend.digest import digest
from harness.worker.torch_backend.timer import time_training
from tests.conftest import SMALL, harness, study_of

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device; run this on one"),
]


def test_a_tensor_has_the_same_digest_on_both_devices() -> None:
    """A tensor on CUDA has the digest of the tensor that it was copied from."""
    tensor = torch.randn(1000)
    assert digest([("w", tensor.cuda())]) == digest([("w", tensor)])


def test_every_step_is_timed() -> None:
    """CUDA events give a time for each step, and the counted ones sum to about the counted time."""
    training = mlp.build(mlp.Options(steps=20), Context(torch.device("cuda")))
    reading = time_training(training, 5, torch.device("cuda"))
    assert (reading.counted_steps, len(reading.step_s)) == (15, 20)
    assert sum(reading.step_s[5:]) == pytest.approx(reading.counted_s, rel=0.5)


def test_the_control_varies_with_seed_and_not_with_full(tmp_path: Path) -> None:
    """The positive control varies with seeds alone and is identical with the full setting."""
    words = ["-m", "scenario=indexing", "determinism=seed,full", "device=cuda", *SMALL]
    study = study_of(harness(*words, cwd=tmp_path), tmp_path)
    cells = pd.read_csv(study / "tables" / "cells.csv").query("not twin")
    verdicts = dict(zip(cells["determinism"], cells["verdict"], strict=True))
    assert verdicts["seed"].startswith("varies")
    assert verdicts["full"] == "identical"


def test_no_run_is_taken_for_contended(tmp_path: Path) -> None:
    """The harness's own use of the GPU is not reported as contention."""
    study = study_of(harness("scenario=mlp", "device=cuda", *SMALL, cwd=tmp_path), tmp_path)
    assert set(pd.read_csv(study / "tables" / "runs.csv")["outcome"]) == {"ok"}
