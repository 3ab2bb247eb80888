"""What is varied about GPUs, and why it is not on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from harness.core.spec import Cell
from harness.factors.catalog import FACTORS
from tests.perturb.factor_process import perturbed, read

MakeCell = Callable[..., Cell]
OF_GPUS = ("visible_gpus", "cublas_workspace", "kernel_choice")
TIMED = """
x = torch.ones(256, 256, device="cuda")
torch.compile(lambda x: x @ x, mode="max-autotune-no-cudagraphs")(x)
"""


@pytest.mark.parametrize("name", OF_GPUS)
def test_nothing_of_a_gpu_is_varied_on_a_cpu(name: str, make_cell: MakeCell) -> None:
    """With the reason; on a GPU there is none."""
    factor, cell = FACTORS[name], make_cell(perturbed=())
    assert factor.missing(cell) == "the training uses no GPU"
    assert factor.missing(replace(cell, device="cuda")) == ""
    assert [level.name for level in factor.levels(cell)]


def test_what_was_chosen_for_a_gpu_is_not_varied(make_cell: MakeCell) -> None:
    """The setting chooses the workspace, and a device's number counts the visible ones."""
    cell = make_cell(perturbed=(), device="cuda:1")
    cell = replace(cell, determinism=cell.determinism.with_switches({"cublas_workspace": ":16:8"}))
    assert FACTORS["cublas_workspace"].missing(cell) == "the setting chooses it"
    assert FACTORS["visible_gpus"].missing(cell) == "cuda:1 was chosen"


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device; run this on one")
@pytest.mark.parametrize(
    ("name", "training"),
    [("cublas_workspace", "pass"), ("kernel_choice", TIMED), ("visible_gpus", "pass")],
)
def test_what_is_varied_about_gpus_reads_back(
    name: str, training: str, make_cell: MakeCell
) -> None:
    """In a process that computes on one."""
    if name == "visible_gpus" and torch.cuda.device_count() < 2:
        pytest.skip("one GPU; run this with two")
    cell = make_cell(perturbed=(), device="cuda")
    usual, _ = read(cell, name, training)
    (level,) = FACTORS[name].levels(cell)
    assert read(perturbed(cell, name, level), name, training)[0] not in (usual, "")
