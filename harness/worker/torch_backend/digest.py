"""Digests of torch tensors: equal bits give equal digests for any strides, offset or file.

What would take long to copy from CUDA is hashed there, by another function than in host memory, so
a large tensor and its copy in host memory have different digests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from harness.worker.hashing import CHUNK, Part, array_part, hash_parts
from harness.worker.torch_backend.device_hash import word_sums

__all__ = ["CHUNK", "Named", "digest"]

FEW, SMALL = 4, 2**16  # tensors and bytes; part of the digest's definition
Named = Iterable[tuple[str, Tensor]]


def digest(named: Named, values: Mapping[str, Any] | None = None) -> str:
    """Return 32 hexadecimal digits for the tensors, in the order given, and for the JSON values.

    Tensors may have any shape, dtype and device. Raises TypeError as ``dense_parts`` does.
    """
    return hash_parts(_to_parts(named), values)


def _to_parts(named: Named) -> Iterator[Part]:
    """Yield the tensors; the bytes of those that stay on CUDA are in the sums that follow."""
    tensors = [part for name, tensor in named for part in dense_parts(name, tensor)]
    staying = _staying([tensor for _, tensor in tensors if tensor.is_cuda])
    for name, tensor in tensors:
        data = memoryview(b"") if staying and tensor.is_cuda else _raw_bytes(_resolved(tensor))
        yield Part(name, str(tensor.dtype), tuple(tensor.shape), data)
    for device in dict.fromkeys(tensor.device for tensor in staying):
        sums = word_sums([_resolved(tensor) for tensor in staying if tensor.device == device])
        yield array_part("words", sums.numpy())


def _staying(tensors: list[Tensor]) -> list[Tensor]:
    """Return the tensors to hash on their device: none if they are soon copied to the host."""
    is_little = len(tensors) <= FEW and sum(tensor.nbytes for tensor in tensors) <= SMALL
    return [] if is_little else tensors


def dense_parts(name: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
    """Return a dense tensor as one part, a sparse or jagged one as its indices and values.

    Of a distributed tensor only this process's shard counts, and of a parameter that has no memory
    yet only its existence. Raises TypeError, naming the tensor, if it is quantized or in another
    layout.
    """
    if isinstance(tensor, UninitializedParameter | UninitializedBuffer):
        return [(f"{name}:uninitialized", torch.empty(0))]
    if hasattr(tensor, "to_local"):  # DTensor, whose import would take long
        return dense_parts(f"{name}:local", tensor.to_local())
    if tensor.layout == torch.jagged:
        offsets: Tensor = tensor.offsets()  # type: ignore[attr-defined]
        return [(f"{name}:offsets", offsets), (f"{name}:values", tensor.values())]
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
        f"cannot digest tensor '{name}' of layout {tensor.layout}"
        f"{' (quantized)' if tensor.is_quantized else ''}: only dense, COO, CSR, BSR and jagged "
        "tensors have defined bytes; digest a dense copy instead"
    )


def _resolved(tensor: Tensor) -> Tensor:
    """Return the elements without gradient tracking, lazy conjugation and lazy negation."""
    values = tensor.detach()
    if tensor.is_complex() or tensor.is_neg():
        values = values.resolve_conj().resolve_neg()
    return values


def _raw_bytes(tensor: Tensor) -> memoryview:
    """Return the elements as contiguous bytes in host memory, without a copy if possible."""
    return tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
