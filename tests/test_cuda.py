"""Tests that need a CUDA device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from harness.scenarios import mlp
from torch import Tensor

from harness.core.spec import Arm, Cell, Determinism, Kind, RunSpec, Scenario
from harness.scenario import Context
from harness.worker.torch_backend import device_hash
from harness.worker.torch_backend.device_hash import BLOCK, word_sums
from harness.worker.torch_backend.digest import FEW, digest
from harness.worker.torch_backend.timer import time_training
from harness.worker.torch_backend.timing_block import run_block
from tests.conftest import SMALL, harness, study_of
from tests.worker.torch_backend.test_digest import FAULTS

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device; run this on one"),
]


# First the studies: after the first tensor on CUDA, this process is one that computes on the GPU.


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


def test_the_device_and_the_host_compute_the_same_sums() -> None:
    """Tensors of several dtypes, sizes and strides have the same sums on both devices."""
    torch.manual_seed(0)
    tensors = [
        torch.randn(2 * BLOCK + 7),
        torch.randn(33, 65).T,
        torch.randn(101).bfloat16(),
        torch.arange(-5, 5),
        torch.randn(7) > 0,
        torch.zeros(0, 3),
    ]
    assert torch.equal(word_sums([tensor.cuda() for tensor in tensors]), word_sums(tensors))


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "lazy parameter"])
def test_a_planted_difference_is_detected(fault: str) -> None:
    """Tensors on CUDA that differ in only one respect have different digests, few or many."""
    for number in (1, FEW + 1):
        first, second = (
            digest([(str(n), tensor.cuda()) for n in range(number)]) for tensor in FAULTS[fault]
        )
        assert first != second


def test_a_digest_leaves_the_program_its_addresses() -> None:
    """The program's next tensors have the addresses and the memory that they have unobserved."""

    def allocate(observe: Callable[[Tensor], object]) -> list[int]:
        torch.cuda.empty_cache()
        kept, addresses = torch.ones(3 * BLOCK, device="cuda"), []
        for size in (5, BLOCK // 2, 3 * BLOCK):
            observe(kept)
            kept = torch.ones(size, device="cuda")
            addresses.append(kept.data_ptr())
        return addresses

    allocate(lambda tensor: digest([("w", tensor)]))  # the pool's first blocks
    assert allocate(lambda tensor: digest([("w", tensor)])) == allocate(lambda _: None)


def test_the_host_steps_in_where_memory_is_full() -> None:
    """With no memory left on the device, the sums are the same."""
    tensor = torch.randn(BLOCK, device="cuda")
    device_hash._keys.cache_clear()
    device_hash._pool.cache_clear()
    torch.cuda.empty_cache()
    expected = word_sums([tensor.cpu()])
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(torch.cuda.memory_reserved() / total)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            torch.ones(2**26, device="cuda")
        assert torch.equal(word_sums([tensor]), expected)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_every_step_is_timed() -> None:
    """CUDA events give a time for each step, and the counted ones sum to about the counted time."""
    training = mlp.build(mlp.Options(steps=20), Context(torch.device("cuda")))
    reading = time_training(training, 5, torch.device("cuda"))
    assert (reading.counted_steps, len(reading.step_s)) == (15, 20)
    assert sum(reading.step_s[5:]) == pytest.approx(reading.counted_s, rel=0.5)


def test_an_arm_of_a_block_is_charged_for_its_own_memory() -> None:
    """Equal trainings in one block have equal peaks: none counts what another one has kept."""
    scenario = Scenario("mlp", "mlp", {"steps": 20}, uses_loader=False)
    cell = Cell(scenario, "seed", Determinism(seed=1), "cuda")
    spec = RunSpec(
        cell, Kind.timing, 1, warmup=1, arms=(Arm(cell), Arm(cell, twin=True), Arm(cell))
    )
    peaks = [arm.run.peak_mb for arm in run_block(spec) if arm.run]
    assert len(peaks) == 3
    assert len({f"{peak:.4f}" for peak in peaks}) == 1, peaks
