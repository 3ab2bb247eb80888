"""Deterministic algorithms are in effect while named operations run, and at no other time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest
import torch
from torch.nn import functional

from harness.worker.torch_backend.deterministic_operations import require_during
from tests.worker.torch_backend.race import different_gradients


@pytest.fixture(autouse=True)
def unwrap() -> Iterator[None]:
    yield
    require_during(None)


def unpool() -> torch.Tensor:
    """An operation without a deterministic algorithm, even on a CPU."""
    pooled, indices = functional.max_pool2d(torch.rand(1, 1, 4, 4), 2, return_indices=True)
    return functional.max_unpool2d(pooled, indices, 2)


def test_the_switch_is_on_during_the_operation() -> None:
    """An operation that has no deterministic algorithm is refused while it is wrapped."""
    unpool()
    require_during("cumsum+max_unpool2d")
    with pytest.raises(RuntimeError, match="does not have a deterministic implementation"):
        unpool()
    require_during(None)
    unpool()


def test_the_switch_is_off_during_others() -> None:
    """They run as before."""
    require_during("index_put+cumsum")
    torch.arange(4.0).cumsum(0)
    unpool()


def test_a_backward_pass_is_reached() -> None:
    """A sum whose additions race is the same each time, though no code of ours calls it."""
    require_during("index_put")
    assert different_gradients() == 1


@pytest.mark.parametrize("is_required", [True, False])
def test_the_switch_is_as_before_afterwards(is_required: bool) -> None:
    """Also if the operation fails."""
    require_during("index_put")
    torch.use_deterministic_algorithms(is_required)
    try:
        weights = torch.zeros(4)
        weights[torch.tensor([0, 0])] = torch.ones(2)
        with pytest.raises((IndexError, RuntimeError)):
            weights[torch.tensor([9])] = torch.ones(1)
        assert torch.are_deterministic_algorithms_enabled() is is_required
    finally:
        torch.use_deterministic_algorithms(False)


def test_wrapping_prints_no_warning() -> None:
    """Torch's remark that a kernel was replaced is meant for authors of kernels."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        require_during("index_put")


@pytest.mark.parametrize(
    ("name", "message"),
    [("index_putt", "has no operation aten.index_putt"), ("reshape", "replaces it by other")],
)
def test_a_name_that_cannot_be_wrapped_is_an_error(name: str, message: str) -> None:
    """The message has the name and says what to do."""
    with pytest.raises(ValueError, match=message):
        require_during(name)
