"""The origin is the first operation at which two logs differ, of the right kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from harness.core.op_log import OpLog
from harness.diagnose.origin import Origin, OriginKind, first_difference
from harness.worker.torch_backend.op_recorder import OpRecorder
from tests.planted_fault import PlantedFault


class PreviousOwner(TorchDispatchMode):
    """Leaves values in newly allocated memory, as its previous owner would."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        return output.fill_(7.0) if str(func) == "aten.empty.memory_format" else output


def find_origin(
    step: Callable[[bool], Any], planted: AbstractContextManager[Any] | None = None
) -> Origin:
    """Return the origin of the difference between ``step(False)`` and ``step(True)``."""
    logs = []
    for is_second in (False, True):
        torch.manual_seed(1)
        recorder = OpRecorder()
        with planted if planted and is_second else nullcontext(), recorder.record_step(1):
            recorder.begin_step()
            step(is_second)
        logs.append(OpLog("run", {}, recorder.operations))
    origin = first_difference(*logs)
    assert origin is not None
    return origin


def test_an_operation_with_other_inputs_is_not_faulty() -> None:
    """If inputs that no operation produced differ, the origin is outside, not the operation."""
    origin = find_origin(lambda second: torch.ones(3) * (2.0 + second))
    assert (origin.kind, origin.operation.name) == (OriginKind.outside, "aten.mul.Tensor")


def test_the_generator_state_is_an_input() -> None:
    """If the state of the generator differs, the origin of a draw is outside."""

    def draw(second: bool) -> None:
        if second:
            torch.manual_seed(2)
        torch.rand(3)

    origin = find_origin(draw)
    assert (origin.kind, origin.operation.name) == (OriginKind.outside, "aten.rand.default")


def test_different_control_flow_is_reported() -> None:
    """If the runs execute different operations, the origin is the one of the first run."""
    origin = find_origin(lambda second: torch.ones(3).sin() if second else torch.ones(3).cos())
    assert (origin.kind, origin.only_in) == (OriginKind.path, "one")
    assert origin.operation.name == "aten.cos.default"


def test_an_additional_operation_is_reported() -> None:
    """If one run executes one operation more, that is the origin, with the run that it is in."""
    origin = find_origin(lambda second: torch.ones(3).sin() if second else torch.ones(3))
    assert (origin.kind, origin.operation.name) == (OriginKind.path, "aten.sin.default")
    assert origin.only_in == "the other"


def test_a_harmless_additional_operation_hides_no_origin() -> None:
    """An additional operation without effect is counted, and a later faulty one is the origin."""

    def step(second: bool) -> Tensor:
        x = torch.ones(3)
        if second:
            x.sin()
        return x.cos().exp()

    origin = find_origin(step, PlantedFault("aten.cos.default", 1))
    assert (origin.kind, origin.operation.name) == (OriginKind.operation, "aten.cos.default")
    assert origin.unpaired == 1


def test_an_additional_draw_is_the_origin() -> None:
    """An additional draw is the origin, because it changes the numbers that follow."""

    def step(second: bool) -> Tensor:
        if second:
            torch.rand(3)  # advances the generator that randn uses
        return torch.randn(3)

    origin = find_origin(step)
    assert (origin.kind, origin.operation.name) == (OriginKind.path, "aten.rand.default")


def test_a_read_of_uninitialized_memory_is_reported() -> None:
    """The first operation that reads memory as it was allocated is the origin."""
    origin = find_origin(lambda _: torch.empty(4) + 1, PreviousOwner())
    assert (origin.kind, origin.operation.name) == (OriginKind.uninitialized, "aten.add.Tensor")


def test_memory_that_numpy_wrote_is_not_called_uninitialized() -> None:
    """Memory that something outside torch wrote holds inputs that no operation produced."""

    def read(second: bool) -> Tensor:
        empty = torch.empty(4)
        empty.numpy()[:] = 1 + second
        return empty + 1

    origin = find_origin(read)
    assert (origin.kind, origin.operation.name) == (OriginKind.outside, "aten.add.Tensor")


def test_operations_after_an_additional_one_are_paired_with_their_own() -> None:
    """With one operation more early in a long log, the origin late in the log is still found."""

    def step(second: bool) -> Tensor:
        x = torch.ones(3)
        if second:
            x.sin()
        for _ in range(4000):
            x = x + 1
        return x.cos().exp()

    origin = find_origin(step, PlantedFault("aten.cos.default", 1))
    assert (origin.kind, origin.operation.name) == (OriginKind.operation, "aten.cos.default")
