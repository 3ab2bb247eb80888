"""What only a CUDA device can show."""

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


def test_a_tensor_has_one_digest_on_both_devices() -> None:
    tensor = torch.randn(1000)
    assert digest([("w", tensor.cuda())]) == digest([("w", tensor)])


def test_events_time_every_step() -> None:
    training = mlp.build(mlp.Options(steps=20), Context(torch.device("cuda")))
    reading = time_training(training, 5, torch.device("cuda"))
    assert (reading.counted_steps, len(reading.step_s)) == (15, 20)
    assert sum(reading.step_s[5:]) == pytest.approx(reading.counted_s, rel=0.5)


def test_the_control_varies_under_seed_and_not_under_full(tmp_path: Path) -> None:
    words = ["-m", "scenario=indexing", "determinism=seed,full", "device=cuda", *SMALL]
    study = study_of(harness(*words, cwd=tmp_path), tmp_path)
    verdicts = pd.read_csv(study / "tables" / "cells.csv").query("not twin")
    found = dict(zip(verdicts["determinism"], verdicts["verdict"], strict=True))
    assert found["seed"].startswith("varies")
    assert found["full"] == "identical"


def test_no_run_is_taken_for_a_contended_one(tmp_path: Path) -> None:
    study = study_of(harness("scenario=mlp", "device=cuda", *SMALL, cwd=tmp_path), tmp_path)
    assert set(pd.read_csv(study / "tables" / "runs.csv")["outcome"]) == {"ok"}
