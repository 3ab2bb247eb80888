"""Snapshots hold what any training's parameters may be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

from harness.worker.snapshot import keep
from scenarios import mlp
from scenarios.base import Context


def test_tied_and_narrow_parameters_are_kept_exactly(tmp_path: Path) -> None:
    training = mlp.build(mlp.Options(), Context(torch.device("cpu")))
    training.model.to(torch.bfloat16)
    training.models = {"one": training.model, "two": training.model}
    stored = load_file(tmp_path / f"{keep(training, tmp_path)}.safetensors")
    values = np.concatenate([one.ravel() for one in stored.values()])
    wanted = torch.cat([p.detach().float().ravel() for p in training.model.parameters()])
    assert set(values) == set(wanted.tolist())
