"""The transformer is held to the kernel asked for, and says where there is none."""

from __future__ import annotations

import pytest
import torch
from harness.scenarios import attention

from harness.scenario import Context, predict

CPU = Context(torch.device("cpu"))


def scores(**options: object) -> torch.Tensor:
    torch.manual_seed(1)
    training = attention.build(attention.Options(**options), CPU)  # type: ignore[arg-type]
    return predict(training.model, training.held_out.inputs)


def test_all_kernels_compute_the_same_up_to_rounding() -> None:
    assert torch.allclose(scores(backend="math"), scores(backend="flash"), atol=1e-5)
    assert not torch.equal(scores(backend="math"), scores(backend="flash"))


def test_amp_gives_float32_scores_of_bfloat16_accuracy() -> None:
    exact, amp = scores(), scores(amp=True)
    assert amp.dtype == torch.float32
    assert 1e-4 < (exact - amp).abs().max() < 0.1


def test_a_kernel_that_this_device_lacks_is_named() -> None:
    with pytest.raises(ValueError, match=r"backend=efficient: .* for float32 on cpu; math is"):
        scores(backend="efficient")


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="heads=5: must be positive and divide width=32"):
        attention.Options(heads=5)
