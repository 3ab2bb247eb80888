"""Snapshots can store the parameters of any training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from harness.scenarios import mlp
from safetensors.numpy import load_file

from harness.scenario import Context
from harness.worker.torch_backend.snapshot import save_snapshot


def test_tied_and_bfloat16_parameters_are_stored_exactly(tmp_path: Path) -> None:
    """A snapshot of two models that share bfloat16 parameters contains their exact values."""
    training = mlp.build(mlp.Options(), Context(torch.device("cpu")))
    training.model.to(torch.bfloat16)
    training.models = {"one": training.model, "two": training.model}
    stored = load_file(tmp_path / f"{save_snapshot(training, tmp_path)}.safetensors")
    values = np.concatenate([array.ravel() for array in stored.values()])
    expected = torch.cat([p.detach().float().ravel() for p in training.model.parameters()])
    assert set(values) == set(expected.tolist())
