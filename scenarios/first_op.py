"""One operation as the first of a process, called twice: do both calls return the same bits?

Some libraries choose their kernels in their first call. If two threads make that call at once, one
of them can get another kernel, and the results of a process depend on who came first. Such a race
is rare, so one run forks many processes. In each, a matrix product wakes the threads, and then the
operation is called twice on the same inputs, with the same seed.

Nothing is trained. The facts count the processes in which the two calls differ.
"""

from __future__ import annotations

import os
import select
import signal
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from harness.scenario import Context, Evaluation, Training

from .atomics import OPERATIONS

Call = Callable[..., Tensor]

# Pointwise functions of one float32 tensor, called on numbers between 0 and 1.
POINTWISE: dict[str, Call] = {
    **{
        name: getattr(torch, name)
        for name in (
            "abs acos asin asinh atan atanh ceil cos cosh deg2rad digamma erf erfc erfinv exp exp2"
            " expm1 floor frac i0 lgamma log log10 log1p log2 logit neg rad2deg reciprocal relu"
            " round rsqrt selu sigmoid sign sin sinc sinh sqrt square tan tanh trunc"
        ).split()
    },
    "acosh": lambda x: (x + 1).acosh(),
    **{
        name: getattr(F, name)
        for name in "elu gelu hardswish leaky_relu logsigmoid mish silu softplus softsign".split()
    },
    "softmax": lambda x: x.view(-1, 64).softmax(-1),
    "log_softmax": lambda x: x.view(-1, 64).log_softmax(-1),
}
LENGTH = 2**16  # of the input of a pointwise function: several chunks for each of many threads
REPORT = struct.Struct("qqq")  # elements that differ, all elements, largest difference in ulp
RECORDED_VALUES = 1000
LIMIT_S = 20.0  # of one forked process


@dataclass(frozen=True)
class Options:
    op: str = "sqrt"  # a key of POINTWISE, or an operation of the scenario `atomics`
    processes: int = 250  # forked by each run

    def __post_init__(self) -> None:
        if self.op not in POINTWISE and self.op not in OPERATIONS:
            raise ValueError(f"op={self.op}: must be one of {', '.join([*POINTWISE, *OPERATIONS])}")
        if self.processes < 1:
            raise ValueError(f"processes={self.processes}: must be at least 1")


@dataclass
class FirstCalls(Training):
    """Its one step forks the processes, before anything else has called an operation."""

    options: Options
    models: dict[str, nn.Module] = field(default_factory=dict)
    optimizers: dict[str, Optimizer] = field(default_factory=dict)
    differing: list[tuple[int, int, int]] = field(default_factory=list)  # as in REPORT

    def batches(self) -> Iterator[int]:
        yield 0

    def step(self, batch: int) -> Tensor:  # noqa: ARG002
        for _ in range(self.options.processes):
            report = in_forked_process(lambda: compare_two_calls(self.options.op))
            if report[0]:
                self.differing.append(report)
        return torch.zeros(())

    def evaluate(self) -> Evaluation:
        """Return the first values of a later call in place of predictions."""
        with torch.random.fork_rng(devices=[]):
            call, inputs = prepare(self.options.op)
            return Evaluation(call(*inputs).flatten()[:RECORDED_VALUES].clone(), None)

    def facts(self) -> dict[str, Any]:
        return {
            "op": self.options.op,
            "processes": self.options.processes,
            "differ": len(self.differing),
            "elements": max((changed / total for changed, total, _ in self.differing), default=0.0),
            "ulp": max((ulp for _, _, ulp in self.differing), default=0),
        }


def prepare(op: str) -> tuple[Call, list[Tensor]]:
    """Return an operation and its inputs, made from a fixed seed without calling the operation."""
    torch.manual_seed(0)
    if op in POINTWISE:
        return POINTWISE[op], [torch.rand(LENGTH)]
    operation = OPERATIONS[op]  # type: ignore[index]
    return operation.call, [torch.rand(shape) for shape in operation.shapes]


def compare_two_calls(op: str) -> tuple[int, int, int]:
    """Return how many elements differ, of how many, and by how many ulp at most."""
    call, inputs = prepare(op)
    wake_threads()
    results = []
    for _ in range(2):
        torch.manual_seed(1)  # of the indices that some operations draw
        results.append(call(*inputs).detach())
    first, second = (bits_of(result) for result in results)
    distance = (first - second).abs()
    return int((distance > 0).sum()), distance.numel(), int(distance.max())


def wake_threads() -> None:
    """Keep torch's threads spinning, so that they share the next operation from its start."""
    x = torch.ones(512, 512)
    for _ in range(3):
        (x @ x).add(1).relu()


def bits_of(tensor: Tensor) -> Tensor:
    """Return the bit patterns of float32 as integers, or integers as they are, in int64."""
    bits = tensor.view(torch.int32) if tensor.is_floating_point() else tensor
    return bits.to(torch.int64)


def in_forked_process(work: Callable[[], tuple[int, int, int]]) -> tuple[int, int, int]:
    """Return what ``work`` returns in a forked process. Raises RuntimeError if that fails."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.write(writer, REPORT.pack(*work()))
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    hangs = not select.select([reader], [], [], LIMIT_S)[0]
    if hangs:
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reader, "rb") as stream:
        report = stream.read()
    _, status = os.waitpid(child, 0)
    if hangs:  # OpenMP waits forever for threads that only the process before the fork has
        raise RuntimeError(
            f"a forked process gave no answer in {LIMIT_S:g} s: had torch worked before the fork?"
        )
    if status or len(report) != REPORT.size:
        raise RuntimeError(f"a forked process failed with exit status {status}")
    return REPORT.unpack(report)


def build(options: Options, context: Context) -> FirstCalls:
    if context.device.type != "cpu":
        raise ValueError(f"device={context.device}: must be cpu, because a run forks")
    return FirstCalls(options)
