"""A small training with one real fault; options select its kind, phase, form and step.

Each fault is real: a race between threads, a read of uninitialized memory, the order of a set of
strings, an unseeded random number, a kernel that depends on the trainings before, one that depends
on the process, or a program that detects that it is observed. The rest of the training is the same
in every run.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _get_current_dispatch_mode
from torch.utils.checkpoint import checkpoint

from harness.scenario import Context, Examples, Supervised, digits

STEPS = 6
STRENGTH = 0.01
NAMES = [f"offset {n}" for n in range(12)]  # their order in a set depends on the hash seed
OFFSETS = {name: 0.1 / (n + 3) for n, name in enumerate(NAMES)}
BUILT: list[int] = []  # one entry per training in this process
CALLS: list[int] = []  # one entry per step; not part of any checkpoint


@dataclass(frozen=True)
class Options:
    kind: Literal[
        "unseeded randomness",
        "hash order",
        "order or content of the data",
        "uninitialized memory",
        "atomics or reduction order",
        "algorithm choice",
        "stateful kernel",
        "observer",
    ] = "algorithm choice"
    where: Literal["data", "forward", "backward", "optimizer"] = "forward"
    form: Literal["plain", "in place", "view", "autocast", "checkpoint", "sparse", "integer"] = (
        "plain"
    )
    step: int = 3
    hidden: bool = False


# Custom kernels: one depends on the process, the other on the number of trainings so far.
FACTORS: dict[str, Callable[[], int]] = {
    "chosen": lambda: 2 + os.getpid() % 1000,
    "counting": lambda: len(BUILT),
}
LIBRARY = torch.library.Library("planted", "DEF")


def define(name: str, factor: Callable[[], int]) -> None:
    def out_of_place(x: Tensor) -> Tensor:
        if x.is_floating_point():
            return x * (1 + factor() / 512)
        return x * factor()

    def sparse(x: Tensor) -> Tensor:
        coalesced = x.coalesce()
        return torch.sparse_coo_tensor(
            coalesced.indices(), out_of_place(coalesced.values()), x.shape
        )

    def in_place(x: Tensor) -> None:
        x.copy_(out_of_place(x))

    LIBRARY.define(f"{name}(Tensor x) -> Tensor")
    LIBRARY.define(f"{name}_(Tensor(a!) x) -> ()")
    LIBRARY.impl(name, out_of_place, "CPU")
    LIBRARY.impl(name, sparse, "SparseCPU")
    LIBRARY.impl(f"{name}_", in_place, "CPU")


for kernel, its_factor in FACTORS.items():
    define(kernel, its_factor)


def scale_at_random(x: Tensor) -> Tensor:
    return x.mul_(1 + np.random.rand())


def add_in_set_order(x: Tensor) -> Tensor:
    for name in set(NAMES):
        x.add_(OFFSETS[name])
    return x


def add_uninitialized(x: Tensor) -> Tensor:
    fill_and_free(x.nbytes)
    return x.add_(torch.empty_like(x).nan_to_num(1.0).clamp(0, 2))


def fill_and_free(size: int) -> None:
    """Write to memory as torch allocates it on a CPU and free it, without a torch operation."""
    libc, address = ctypes.CDLL(None), ctypes.c_void_p()
    libc.posix_memalign(ctypes.byref(address), 64, size)
    values = struct.pack("f", 1 + os.getpid() % 1000 / 1000) * (size // 4)
    ctypes.memmove(address, values, size)
    libc.free(address)


def race(x: Tensor) -> Tensor:
    index = torch.arange(100_000) % x.numel()
    x.view(-1).index_put_((index,), (torch.arange(100_000.0)).sin(), accumulate=True)
    return x


IN_PLACE: dict[str, Callable[[Tensor], Any]] = {
    "unseeded randomness": scale_at_random,
    "hash order": add_in_set_order,
    "uninitialized memory": add_uninitialized,
    "atomics or reduction order": race,
    "algorithm choice": torch.ops.planted.chosen_,
    "stateful kernel": torch.ops.planted.counting_,
}
OUT_OF_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "algorithm choice": torch.ops.planted.chosen,
    "stateful kernel": torch.ops.planted.counting,
    "observer": lambda x: x * 2 if _get_current_dispatch_mode() is not None else x,
}


def apply_fault(x: Tensor, options: Options) -> Tensor:
    """Return a detached copy of ``x`` to which the fault has been applied."""
    x = x.detach().contiguous()
    if options.form == "sparse":
        return OUT_OF_PLACE[options.kind](x.to_sparse()).to_dense()
    if options.form == "integer":
        return OUT_OF_PLACE[options.kind]((x * 1e6).long()).to(x.dtype) / 1e6
    if options.form == "plain" and options.kind in OUT_OF_PLACE:
        return OUT_OF_PLACE[options.kind](x)
    copy = x.clone()
    IN_PLACE[options.kind](copy[1:] if options.form == "view" else copy)
    return copy


class Plant(nn.Module):
    """Returns its input unchanged, except in the step of the fault."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.options = options
        self.register_buffer("taken", torch.zeros((), dtype=torch.int64))

    def is_due(self, where: str) -> bool:
        return where == self.options.where and int(self.taken) == self.options.step

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.taken += 1
        if self.is_due("backward") and x.requires_grad:
            x.register_hook(lambda grad: grad + STRENGTH * apply_fault(grad, self.options))
        if not (self.is_due("forward") and self.training):
            return x
        if self.options.form == "checkpoint":
            return checkpoint(self.add_fault, x, use_reentrant=False)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.options.form == "autocast"):
            return self.add_fault(x)

    def add_fault(self, x: Tensor) -> Tensor:
        operand = x @ torch.eye(x.shape[1]) if self.options.form == "autocast" else x
        return x + STRENGTH * apply_fault(operand, self.options).to(x.dtype)

    def spoil_gradient(self, optimizer: Any, _args: Any, _kwargs: Any) -> None:
        if self.is_due("optimizer"):
            for group in optimizer.param_groups:
                first = group["params"][0]
                first.grad = first.grad + STRENGTH * apply_fault(first.grad, self.options)


@dataclass
class Planted(Supervised):
    options: Options = field(default_factory=Options)

    def batches(self) -> Iterator[Examples]:
        for number, batch in enumerate(super().batches(), start=1):
            is_due = self.options.where == "data" and number == self.options.step
            yield batch.at(torch.arange(len(batch)).roll(os.getpid())) if is_due else batch

    def step(self, batch: Examples) -> Tensor:
        CALLS.append(1)
        if self.options.hidden:
            self.optimizer.param_groups[0]["lr"] = 0.1 / len(CALLS)
        return super().step(batch)


def build(options: Options, context: Context) -> Planted:
    BUILT.append(1)
    CALLS.clear()
    torch.manual_seed(7)
    plant = Plant(options)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), plant, nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    optimizer.register_step_pre_hook(plant.spoil_gradient)
    train, held_out = digits(context.device)
    return Planted(
        model=model,
        optimizer=optimizer,
        loss=nn.functional.cross_entropy,
        train=train,
        held_out=held_out,
        batch_size=32,
        steps=STEPS,
        options=options,
    )
