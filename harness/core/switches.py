"""Which switches have an effect in a cell: settings that differ only in others are aliases.

Reading a switch back proves that it was set, not that anything consults it:
``torch.backends.cudnn.deterministic`` reads back as set on a machine without cuDNN, too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from harness.core.frameworks import FRAMEWORKS
from harness.core.spec import Algorithms, Cell, Cudnn, Determinism, Loader, Noise, Seeds

# Consulted only by CUDA code: cuDNN's flags, cuBLAS's workspace, TF32 tensor cores.
CUDA_ONLY = {"cudnn": Cudnn(), "cublas_workspace": None, "tf32": None}

# Consulted only by scenarios that build a DataLoader.
LOADER_ONLY = {"loader": Loader()}

# Consulted only by torch.
TORCH_ONLY = {
    "cudnn": Cudnn(),
    "cublas_workspace": None,
    "loader": Loader(),
    "fill_uninitialized_memory": None,
    "tf32": None,
    "matmul_precision": None,
    "cpu_capability": None,
    "vector_math_warm_up": False,
    "seeds": Seeds(),
    "attention": None,
    "deterministic_operations": None,
}

# The seed of a setting is one switch for each generator that it seeds.
SEEDS = ("seeds.torch", "seeds.numpy", "seeds.python")
FILL = "fill_uninitialized_memory"

# The conditions of a comparison, not its subject: a baseline keeps these overrides.
CONDITIONS = ("seed", "threads", "tf32", "matmul_precision", "cpu_capability")


def _relevant_switches(cell: Cell) -> Determinism:
    """Return the cell's setting, with every switch that has no effect in it at its default."""
    if not FRAMEWORKS[cell.scenario.framework].merges_settings:
        return cell.determinism
    ignored: dict[str, object] = {}
    if not cell.device.startswith("cuda"):
        ignored |= CUDA_ONLY
    if not cell.scenario.uses_loader:
        ignored |= LOADER_ONLY
    if cell.scenario.framework != "torch":
        ignored |= TORCH_ONLY
        if cell.determinism.algorithms is Algorithms.warn:  # TensorFlow cannot warn
            ignored |= {"algorithms": Algorithms.allow}
    return dataclasses.replace(cell.determinism, **ignored)  # type: ignore[arg-type]


def same_experiment(a: Cell, b: Cell) -> bool:
    """Whether two cells do the same work under settings that have the same effect."""
    return (
        (a.scenario.name, a.scenario.options) == (b.scenario.name, b.scenario.options)
        and a.device == b.device
        and _relevant_switches(a) == _relevant_switches(b)
        and _canonical_noise(a.noise) == _canonical_noise(b.noise)
        and a.perturbed == b.perturbed
    )


def _canonical_noise(noise: Noise) -> Noise:
    """Map ``implementation`` to ``none``, which also fixes seeds and leaves kernels free."""
    return Noise.none if noise is Noise.implementation else noise


def settings_of(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return switches as those of Determinism, which has one seed for all generators."""
    values = {name: value for name, value in kept.items() if name not in SEEDS}
    seeds = [name for name in SEEDS if name in kept]
    if not seeds:
        return values
    missing = {name: False for name in SEEDS if name not in kept}
    return {"seed": kept[seeds[0]], **missing, **values}
