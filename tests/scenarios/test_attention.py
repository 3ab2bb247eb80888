"""The transformer uses the requested attention kernel, and refuses one that is missing."""

from __future__ import annotations

import pytest
import torch
from harness.scenarios import attention

from harness.scenario import Context, predict

CPU = Context(torch.device("cpu"))


def compute_scores(**options: object) -> torch.Tensor:
    torch.manual_seed(1)
    training = attention.build(attention.Options(**options), CPU)  # type: ignore[arg-type]
    return predict(training.model, training.held_out.inputs)


def test_kernels_agree_up_to_rounding() -> None:
    """The scores of the math and flash kernels are close but not bitwise equal."""
    assert torch.allclose(
        compute_scores(backend="math"), compute_scores(backend="flash"), atol=1e-5
    )
    assert not torch.equal(compute_scores(backend="math"), compute_scores(backend="flash"))


def test_amp_gives_float32_scores_of_bfloat16_accuracy() -> None:
    """With amp the scores are float32 and have the rounding error of bfloat16."""
    exact, amp = compute_scores(), compute_scores(amp=True)
    assert amp.dtype == torch.float32
    assert 1e-4 < (exact - amp).abs().max() < 0.1


def test_a_kernel_that_the_device_lacks_is_named() -> None:
    """The error for an unavailable kernel names it, the dtype, the device and what is available."""
    with pytest.raises(ValueError, match=r"backend=efficient: .* for float32 on cpu; math is"):
        compute_scores(backend="efficient")


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    """A width that is no multiple of the number of heads raises ValueError."""
    with pytest.raises(ValueError, match="heads=5: must be positive and divide width=32"):
        attention.Options(heads=5)
