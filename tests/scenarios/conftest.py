"""Small trainings of every scenario."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch

from harness.scenario import Context, Training

CPU = Context(torch.device("cpu"))

SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"steps": 3},
    "cnn": {"steps": 3, "size": 12},
    "resnet": {"steps": 6, "width": 4, "depth": 1},
    "upsample": {"steps": 3, "width": 4},
    "loader": {"samples": 64, "epochs": 2},
    "deepcopy_optimizer": {"steps": 23, "width": 4},
    "indexing": {"steps": 2, "indices": 1000},
    "hash_order": {"steps": 3},
    "split": {"steps": 3},
    "summation": {"steps": 2, "numbers": 100},
    "atomics": {"steps": 2},
    "augmentation": {"steps": 3},
    "lstm": {"steps": 3, "width": 4},
    "attention": {"steps": 3, "width": 8},
    "ddp": {"steps": 3, "processes": 1},  # more in test_ddp.py
}

TRAINED = [name for name in SMALL if name != "summation"]  # summation has no weights


def build_training(name: str, **options: Any) -> Training:
    module = importlib.import_module(f"scenarios.{name}")
    training: Training = module.build(module.Options(**{**SMALL[name], **options}), CPU)
    return training


def train(name: str, seed: int = 1, **options: Any) -> Training:
    torch.manual_seed(seed)
    np.random.seed(seed)
    training = build_training(name, **options)
    for batch in training.batches():
        training.step(batch)
    return training


def copy_weights(training: Training) -> list[torch.Tensor]:
    return [p.detach().clone() for model in training.models.values() for p in model.parameters()]
