"""Each operation runs with the requested options and exposes its output and gradients."""

from __future__ import annotations

import typing
from typing import Any

import pytest
import torch
from harness.scenarios import atomics

from harness.scenario import Context

CPU = Context(torch.device("cpu"))
FORWARD_ONLY = {"bincount", "histc", "median", "kthvalue"}
NOT_ON_CPU = {"attention_efficient"}


def run_steps(op: atomics.Op, seed: int = 0) -> atomics.Atomics:
    torch.manual_seed(seed)
    training = atomics.build(atomics.Options(op=op, steps=1), CPU)
    for batch in training.batches():
        training.step(batch)
    return training


def test_every_selectable_operation_is_in_the_table() -> None:
    """The choices of the option ``op`` are exactly the keys of the table of operations."""
    assert set(typing.get_args(atomics.Op)) == set(atomics.OPERATIONS)


@pytest.mark.parametrize("op", sorted(set(atomics.OPERATIONS) - NOT_ON_CPU))
def test_an_operation_exposes_output_and_gradients(op: atomics.Op) -> None:
    """Every operation gives a finite output, and gradients unless it has a forward only."""
    training = run_steps(op)
    assert training.applied.output.isfinite().all()
    assert len(training.applied.output) > 1
    has_gradients = {bool(p.grad is not None and p.grad.any()) for p in training.applied.inputs}
    assert has_gradients == {op not in FORWARD_ONLY}
    direction = "forward" if op in FORWARD_ONLY else "forward and backward"
    assert training.facts() == {"op": op, "direction": direction}


def test_each_step_draws_another_upstream_gradient() -> None:
    """Two steps of one training give different input gradients."""
    training = run_steps("cumsum")
    before = training.applied.inputs[0].grad
    assert before is not None
    training.step(1)
    after = training.applied.inputs[0].grad
    assert after is not None
    assert not torch.equal(before, after)


def test_length_sets_the_size_of_the_inputs() -> None:
    """``length`` sizes the first input, or all three of attention, and must be positive."""
    inputs = atomics.build(atomics.Options(op="conv2d", length=24), CPU).applied.inputs
    assert [tensor.shape[0] for tensor in inputs] == [24, 16]
    inputs = atomics.build(atomics.Options(op="attention_math", length=8), CPU).applied.inputs
    assert [tensor.shape[0] for tensor in inputs] == [8, 8, 8]
    with pytest.raises(ValueError, match="length=0: must be at least 1"):
        atomics.Options(length=0)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_an_operation_computes_in_the_requested_dtype(dtype: Any) -> None:
    """The output has the dtype of the option, and the first input gets a gradient."""
    training = atomics.build(atomics.Options(op="take", length=100, dtype=dtype), CPU)
    training.step(0)
    assert training.applied.output.dtype is getattr(torch, dtype)
    assert training.applied.inputs[0].grad is not None


def test_a_missing_kernel_is_refused() -> None:
    """A kernel that this build of torch lacks raises ValueError and is not replaced by another."""
    with pytest.raises(
        ValueError, match="backend=efficient: this build of torch has no such kernel for fl"
    ):
        run_steps("attention_efficient")
