"""Digests of torch's tensors: equal ones have one, whatever their strides, offset or file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from harness.worker.hashing import CHUNK, Part, hash_parts

__all__ = ["CHUNK", "Named", "digest"]

Named = Iterable[tuple[str, Tensor]]


def digest(named: Named, plain: Mapping[str, Any] | None = None) -> str:
    """32 hexadecimal digits of the tensors, in the order given, and of plain JSON values.

    Raises TypeError, naming the tensor, where a layout has no defined bytes.
    """
    return hash_parts(_to_parts(named), plain)


def _to_parts(named: Named) -> Iterator[Part]:
    for name, tensor in named:
        for part_name, part in dense_parts(name, tensor):
            yield Part(part_name, str(part.dtype), tuple(part.shape), _raw_bytes(part))


def dense_parts(name: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
    """A dense tensor is one part; a sparse one is its indices and values, as they are stored."""
    if tensor.layout == torch.strided and not tensor.is_quantized:
        return [(name, tensor)]
    if tensor.layout == torch.sparse_coo:
        indices, values = tensor._indices(), tensor._values()
        return [(f"{name}:coo{tuple(tensor.shape)}", indices), (f"{name}:values", values)]
    if tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        return [
            (f"{name}:crow{tuple(tensor.shape)}", tensor.crow_indices()),
            (f"{name}:col", tensor.col_indices()),
            (f"{name}:values", tensor.values()),
        ]
    raise TypeError(
        f"no digest for tensor '{name}' of layout {tensor.layout}"
        f"{' (quantized)' if tensor.is_quantized else ''}: dense, COO, CSR and BSR have one; "
        "digest a dense copy instead"
    )


def _raw_bytes(tensor: Tensor) -> memoryview:
    """The tensor's elements as contiguous bytes in host memory, without a copy where possible."""
    plain = tensor.detach()
    if tensor.is_complex() or tensor.is_neg():
        plain = plain.resolve_conj().resolve_neg()
    if not tensor.is_cpu:
        plain = plain.cpu()
    return plain.contiguous().reshape(-1).view(torch.uint8).numpy().data
