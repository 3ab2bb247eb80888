"""Each operation runs as it says, and what differs in it would be seen."""

from __future__ import annotations

import typing
from typing import Any

import pytest
import torch
from harness.scenarios import atomics

from harness.scenario import Context

CPU = Context(torch.device("cpu"))
FORWARD_ONLY = {"bincount", "histc", "median", "kthvalue"}
NOT_ON_A_CPU = {"attention_efficient"}


def stepped(op: atomics.Op, seed: int = 0) -> atomics.Atomics:
    torch.manual_seed(seed)
    training = atomics.build(atomics.Options(op=op, steps=1), CPU)
    for batch in training.batches():
        training.step(batch)
    return training


def test_every_operation_that_can_be_asked_for_is_in_the_table() -> None:
    assert set(typing.get_args(atomics.Op)) == set(atomics.OPERATIONS)


@pytest.mark.parametrize("op", sorted(set(atomics.OPERATIONS) - NOT_ON_A_CPU))
def test_an_operation_shows_its_output_and_its_gradients(op: atomics.Op) -> None:
    training = stepped(op)
    assert training.applied.output.isfinite().all()
    assert len(training.applied.output) > 1
    has_gradients = {bool(p.grad is not None and p.grad.any()) for p in training.applied.inputs}
    assert has_gradients == {op not in FORWARD_ONLY}
    told = "forward" if op in FORWARD_ONLY else "forward and backward"
    assert training.facts() == {"op": op, "direction": told}


def test_the_gradient_sent_back_is_drawn_anew_in_each_step() -> None:
    training = stepped("cumsum")
    before = training.applied.inputs[0].grad
    assert before is not None
    training.step(1)
    after = training.applied.inputs[0].grad
    assert after is not None
    assert not torch.equal(before, after)


def test_length_is_that_of_the_first_input_and_of_all_three_of_attention() -> None:
    grown = atomics.build(atomics.Options(op="conv2d", length=24), CPU).applied.inputs
    assert [one.shape[0] for one in grown] == [24, 16]
    grown = atomics.build(atomics.Options(op="attention_math", length=8), CPU).applied.inputs
    assert [one.shape[0] for one in grown] == [8, 8, 8]
    with pytest.raises(ValueError, match="length=0: must be at least 1"):
        atomics.Options(length=0)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_an_operation_computes_in_the_dtype_that_is_asked_for(dtype: Any) -> None:
    training = atomics.build(atomics.Options(op="take", length=100, dtype=dtype), CPU)
    training.step(0)
    assert training.applied.output.dtype is getattr(torch, dtype)
    assert training.applied.inputs[0].grad is not None


def test_a_kernel_that_is_not_there_is_named_and_not_replaced() -> None:
    with pytest.raises(
        ValueError, match="backend=efficient: this build of torch has no such kernel for fl"
    ):
        stepped("attention_efficient")
