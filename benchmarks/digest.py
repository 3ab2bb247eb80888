"""Digest speed: on the CPU relative to memory bandwidth, on CUDA relative to a copy to the host."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.alternate import format_ratio, ratio_of
from harness.worker.torch_backend.digest import digest

ELEMENTS = 25_000_000  # float32: 100 MB
ON_DEVICE = {
    "one number": [1],
    "ten numbers": [1] * 10,
    "62 tensors of 0.7 MB": [180_000] * 62,
    "400 MB": [4 * ELEMENTS],
}


def run() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    tensor = torch.randn(ELEMENTS)
    words = tensor.view(torch.int64)  # summing integers is limited by memory bandwidth
    ratio = ratio_of(words.sum, lambda: digest([("w", tensor)]), half_width=0.01, limit_s=30)
    torch.set_num_threads(threads)
    print(
        f"digest speed / read bandwidth: {ratio.point:.2f} ({ratio.low:.2f}–{ratio.high:.2f})  "
        "(at least 0.8)"
    )
    if torch.cuda.is_available():
        for what, sizes in ON_DEVICE.items():
            _compare_on_device(what, [torch.randn(size, device="cuda") for size in sizes])


def _compare_on_device(what: str, tensors: list[Tensor]) -> None:
    named = [(str(n), tensor) for n, tensor in enumerate(tensors)]
    ratio = ratio_of(
        lambda: digest(named),
        lambda: digest((name, tensor.cpu()) for name, tensor in named),
        half_width=0.02,
        limit_s=5,
    )
    print(f"digest on CUDA / of a copy in host memory, {what}: {format_ratio(ratio)}")
