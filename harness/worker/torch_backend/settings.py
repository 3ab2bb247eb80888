"""A determinism setting, applied; and what then really is in effect, read back."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from harness.core.spec import Algorithms, Determinism
from harness.scenario import Context
from harness.worker.torch_backend.memory_fill import fill_new_memory

memory: Any = torch.utils.deterministic  # a module with properties, which no stub knows


def apply(asked: Determinism) -> None:
    """Sets what is asked for and touches nothing else; ``none`` touches no generator.

    PYTHONHASHSEED, CUBLAS_WORKSPACE_CONFIG and OMP_NUM_THREADS are the parent's: set here, after
    the interpreter's start, they would only change the label.
    """
    if asked.threads is not None:
        torch.set_num_threads(asked.threads)
    _apply_cudnn(asked)
    if asked.algorithms is not _effective_algorithms():  # the call alone imports torch's compiler
        torch.use_deterministic_algorithms(
            asked.algorithms is not Algorithms.allow, warn_only=asked.algorithms is Algorithms.warn
        )
    if asked.fill_uninitialized_memory is not None:
        memory.fill_uninitialized_memory = asked.fill_uninitialized_memory
    if asked.tf32 is not None:
        torch.backends.cuda.matmul.allow_tf32 = asked.tf32
        torch.backends.cudnn.allow_tf32 = asked.tf32
    if asked.matmul_precision is not None:
        torch.set_float32_matmul_precision(asked.matmul_precision)
    fill_new_memory(asked.fresh_memory)
    if asked.seed is not None:  # last, so that nothing above can draw
        random.seed(asked.seed)
        np.random.seed(asked.seed)
        torch.manual_seed(asked.seed)  # every device's generator too


def _apply_cudnn(asked: Determinism) -> None:
    flags = torch.backends.cudnn
    for name in ("enabled", "deterministic", "benchmark"):
        value = getattr(asked.cudnn, name)
        if value is not None:
            setattr(flags, name, value)


def effective_settings() -> dict[str, Any]:
    """The values in effect, under the names of Determinism's fields, nested ones with a dot."""
    flags = torch.backends.cudnn
    hash_seed = os.environ.get("PYTHONHASHSEED")
    return {
        "seed": torch.initial_seed(),
        "python_hash_seed": int(hash_seed) if hash_seed and hash_seed.isdigit() else None,
        "cublas_workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
        "cudnn.enabled": flags.enabled,
        "cudnn.deterministic": flags.deterministic,
        "cudnn.benchmark": flags.benchmark,
        "algorithms": str(_effective_algorithms()),
        "fill_uninitialized_memory": memory.fill_uninitialized_memory,
        "threads": torch.get_num_threads(),
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "matmul_precision": torch.get_float32_matmul_precision(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability().lower(),
    }


def _effective_algorithms() -> Algorithms:
    if not torch.are_deterministic_algorithms_enabled():
        return Algorithms.allow
    warns = torch.is_deterministic_algorithms_warn_only_enabled()
    return Algorithms.warn if warns else Algorithms.require


def build_context(
    asked: Determinism, device: torch.device, in_child: Callable[[], None] | None = None
) -> Context:
    """What a scenario needs to know of the setting: the device, and how to seed its helpers.

    ``in_child`` must apply the setting; without it nothing else is done in a scenario's children.
    """

    def seeded_generator() -> torch.Generator | None:
        return torch.Generator().manual_seed(asked.seed or 0) if asked.loader.generator else None

    return Context(
        device=device,
        loader_generator=seeded_generator,
        worker_init=_seed_loader_worker if asked.loader.worker_init else None,
        in_child=in_child or partial(apply, asked),
    )


def _seed_loader_worker(worker: int) -> None:  # noqa: ARG001 - the signature is the DataLoader's
    """From PyTorch's notes on reproducibility: the worker's torch seed, handed on to the others."""
    seed = torch.initial_seed() % 2**32
    np.random.seed(seed)
    random.seed(seed)
