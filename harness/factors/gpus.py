"""What may differ about GPUs: how many are visible, cuBLAS's memory, how kernels are chosen."""

from __future__ import annotations

import os

from harness.core.spec import Cell
from harness.factors.compile_cache import inductor_counters
from harness.factors.factor import Factor, Group, Level, loaded, variables

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
VISIBLE = "CUDA_VISIBLE_DEVICES"
TIMED = "benchmark_gpu"  # in the names of TorchInductor's counters of what it timed


def _no_gpu(cell: Cell) -> str:
    return "" if cell.device.startswith("cuda") else "the training uses no GPU"


def _devices(_: Cell) -> list[Level]:
    first = os.environ.get(VISIBLE, "0").partition(",")[0]
    return [Level("one", "one visible GPU", start=variables(**{VISIBLE: first}))]


def _devices_missing(cell: Cell) -> str:
    return f"{cell.device} was chosen" if ":" in cell.device else _no_gpu(cell)


def _count_devices() -> str:
    torch = loaded("torch")
    return str(torch.cuda.device_count()) if torch else ""


def _workspaces(_: Cell) -> list[Level]:
    small = variables(**{WORKSPACE: ":16:8"})
    return [Level("small", "a cuBLAS workspace of 8 × 16 KiB", start=small)]


def _workspace_missing(cell: Cell) -> str:
    return "the setting chooses it" if cell.determinism.cublas_workspace else _no_gpu(cell)


def _read_workspace() -> str:
    return os.environ.get(WORKSPACE, "undefined")


def _kernel_choices(_: Cell) -> list[Level]:
    slowest = variables(TORCHINDUCTOR_DISTORT_BENCHMARKING_RESULT="inverse")
    return [Level("slowest", "the slowest kernels that TorchInductor timed", start=slowest)]


def _read_kernel_choice() -> str:
    if not any(TIMED in name for name in inductor_counters()):
        return "no kernel was timed"
    choice = loaded("torch._inductor.config").test_configs.distort_benchmarking_result
    return "slowest" if choice == "inverse" else "fastest"


VISIBLE_GPUS = Factor(
    "visible_gpus",
    "number of visible GPUs",
    Group.surroundings,
    _devices,
    _count_devices,
    _devices_missing,
)
CUBLAS_WORKSPACE = Factor(
    "cublas_workspace",
    "cuBLAS workspace",
    Group.alone,
    _workspaces,
    _read_workspace,
    _workspace_missing,
)
KERNEL_CHOICE = Factor(
    "kernel_choice",
    "TorchInductor's choice of kernels",
    Group.alone,
    _kernel_choices,
    _read_kernel_choice,
    _no_gpu,
)
