"""What a result's bits may depend on besides its program: software, threads, devices."""

from __future__ import annotations

from typing import Any

import torch

from harness.host.machine import cpu_name
from harness.worker.torch_backend.probe import versions
from harness.worker.torch_backend.values import TensorLeaves


def describe_environment(tensor_leaves: TensorLeaves) -> dict[str, Any]:
    tensors = [tensor for _, tensor in tensor_leaves if tensor is not None]
    return {
        **versions(),
        "device": ", ".join(sorted({_device_name(tensor.device) for tensor in tensors})),
        "cpu": cpu_name(),
    }


def _device_name(device: torch.device) -> str:
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type
