"""Which switches can matter where: settings that differ only in the others are one experiment.

Reading a switch back proves that it was set, not that anything asks for it:
``torch.backends.cudnn.deterministic`` reads back as set on a machine without cuDNN too.
"""

from __future__ import annotations

import dataclasses

from harness.core.spec import Algorithms, Cell, Cudnn, Determinism, Loader, Noise

# Consulted by CUDA code paths alone: cuDNN's flags, cuBLAS's workspace, TF32 tensor cores.
CUDA_ONLY = {"cudnn": Cudnn(), "cublas_workspace": None, "tf32": None}

# Consulted only where a scenario builds a DataLoader.
LOADER_ONLY = {"loader": Loader()}

# Torch's own, which no other framework asks.
TORCH_ONLY = {
    "cudnn": Cudnn(),
    "cublas_workspace": None,
    "loader": Loader(),
    "fill_uninitialized_memory": None,
    "tf32": None,
    "matmul_precision": None,
    "cpu_capability": None,
}

# The circumstances of a comparison rather than its subject: a baseline keeps these overrides.
CONDITIONS = ("seed", "threads", "tf32", "matmul_precision", "cpu_capability")


def _relevant_switches(cell: Cell) -> Determinism:
    """The cell's setting with every switch that nothing here can consult at its default."""
    ignored: dict[str, object] = {}
    if not cell.device.startswith("cuda"):
        ignored |= CUDA_ONLY
    if not cell.scenario.uses_loader:
        ignored |= LOADER_ONLY
    if cell.scenario.framework != "torch":
        ignored |= TORCH_ONLY
        if cell.determinism.algorithms is Algorithms.warn:  # TensorFlow requires or allows
            ignored |= {"algorithms": Algorithms.allow}
    return dataclasses.replace(cell.determinism, **ignored)  # type: ignore[arg-type]


def same_experiment(one: Cell, other: Cell) -> bool:
    """Whether two cells ask for the same work under switches that are equal where they count."""
    return (
        (one.scenario.name, one.scenario.options) == (other.scenario.name, other.scenario.options)
        and one.device == other.device
        and _relevant_switches(one) == _relevant_switches(other)
        and _canonical_noise(one.noise) == _canonical_noise(other.noise)
    )


def _canonical_noise(noise: Noise) -> Noise:
    """Fixed seeds and free kernels are what a setting without noise asks for anyway."""
    return Noise.none if noise is Noise.implementation else noise


def count_overrides(determinism: Determinism) -> int:
    """How many switches differ from their defaults; the fewest is the plainest."""
    defaults = Determinism().switches()
    return sum(value != defaults[name] for name, value in determinism.switches().items())
