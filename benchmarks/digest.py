"""Digest speed relative to the memory-read bandwidth of one thread, on a 100 MB tensor."""

from __future__ import annotations

import torch

from benchmarks.alternate import ratio_of
from harness.worker.torch_backend.digest import digest

ELEMENTS = 25_000_000  # float32: 100 MB


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
