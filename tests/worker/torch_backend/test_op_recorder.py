"""Faults planted into real operations of real trainings are found where they were planted."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from harness.scenarios import attention, augmentation, cnn, indexing, lstm, mlp, resnet, upsample
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from harness.core import op_log
from harness.core.op_log import OpLog
from harness.diagnose.origin import Origin, OriginKind, first_difference
from harness.scenario import Context, Training
from harness.worker.torch_backend.op_recorder import OpRecorder

CPU = Context(torch.device("cpu"))
STEPS = 2
PLANTED = 8  # in each training
TRAININGS: dict[str, Callable[[], Training]] = {
    "mlp": lambda: mlp.build(mlp.Options(data="digits", batch_size=8), CPU),
    "cnn": lambda: cnn.build(
        cnn.Options(variant="question", size=8, filters=3, hidden=8, batch_size=4), CPU
    ),
    "resnet": lambda: resnet.build(
        resnet.Options(width=4, depth=1, batch_size=4, samples=8, steps=STEPS), CPU
    ),
    "upsample": lambda: upsample.build(upsample.Options(width=4, mode="bicubic"), CPU),
    "augmentation": lambda: augmentation.build(augmentation.Options(dropout=0.5), CPU),
    "lstm": lambda: lstm.build(lstm.Options(), CPU),
    "attention": lambda: attention.build(attention.Options(), CPU),
    "attention in bfloat16": lambda: attention.build(attention.Options(amp=True), CPU),
    "indexing": lambda: indexing.build(indexing.Options(indices=100), CPU),
}
# What digests are made with themselves, or what gives no floating-point result of its own.
NOT_PLANTED = ("aten.detach", "aten.clone", "aten._to_copy", "aten.copy_", "aten.view", "aten.lift")


class Planted(TorchDispatchMode):
    """Changes the last bit of one element of what one call of one operation gives."""

    def __init__(self, name: str, occurrence: int) -> None:
        super().__init__()
        self.name, self.occurrence, self.seen = name, occurrence, 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if str(func) == self.name:
            self.seen += 1
            if self.seen == self.occurrence:
                given = tree_leaves(output if output is not None else args)
                spoil(next(one for one in given if is_spoilable(one)))
        return output


def is_spoilable(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and value.numel() > 0


def spoil(tensor: Tensor) -> None:
    kind = {2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    element = tensor.detach()[(0,) * tensor.ndim]
    element.view(kind).bitwise_xor_(1)


def log_of(
    training: str, seed: int = 1, planted: AbstractContextManager[Any] | None = None
) -> OpLog:
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    watch = OpRecorder()
    built = TRAININGS[training]()
    watch.name_modules(built)
    batches = iter(built.batches())
    with planted or nullcontext():
        for number in range(1, STEPS + 1):
            with watch.record_step(number):
                batch = next(batches)
                watch.begin_step()
                built.step(batch)
    return OpLog("run", {"1": "same"}, watch.operations)


def plantable(log: OpLog) -> list[int]:
    """A place of each of some operations that give something, drawn from all steps."""
    by_name: dict[str, list[int]] = {}
    for index, one in enumerate(log.operations):
        if one.outputs and not one.name.startswith(NOT_PLANTED):
            by_name.setdefault(one.name, []).append(index)
    draw = random.Random(0)
    chosen = draw.sample(sorted(by_name), len(by_name))
    return [draw.choice(by_name[name]) for name in chosen]


@pytest.mark.parametrize("training", TRAININGS)
def test_a_planted_fault_is_found_at_its_operation(training: str) -> None:
    clean = log_of(training)
    phases = Counter[str]()
    for index in plantable(clean):
        if phases.total() == PLANTED:
            break
        place = clean.operations[index]
        earlier = [one.name for one in clean.operations[: index + 1]].count(place.name)
        planted = Planted(place.name, earlier)
        try:
            spoiled = log_of(training, planted=planted)
        except (StopIteration, RuntimeError):  # gives no floats, or its memory is shared
            continue
        origin = first_difference(clean, spoiled)
        assert origin is not None, place
        assert (origin.kind, origin.index) == (OriginKind.operation, index), (place, origin)
        phases[place.phase] += 1
    assert phases.total() >= 4
    assert len(phases) > 1


@pytest.mark.parametrize("training", TRAININGS)
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_clean_trainings_have_no_origin_and_read_no_fresh_memory(training: str, seed: int) -> None:
    if training == "indexing":
        torch.set_num_threads(1)
    try:
        one, other = (log_of(training, seed) for _ in range(2))
    finally:
        torch.set_num_threads(THREADS)
    assert first_difference(one, other) is None
    assert not any(each.reads_fresh for each in one.operations)


THREADS = torch.get_num_threads()


def origin_of(
    step: Callable[[bool], Any], planted: AbstractContextManager[Any] | None = None
) -> Origin:
    """Where two logs of a function part that is told which of the two runs it is in."""
    logs = []
    for is_second in (False, True):
        torch.manual_seed(1)
        watch = OpRecorder()
        with planted if planted and is_second else nullcontext(), watch.record_step(1):
            watch.begin_step()
            step(is_second)
        logs.append(OpLog("run", {}, watch.operations))
    found = first_difference(*logs)
    assert found is not None
    return found


def test_an_operation_on_other_values_from_outside_is_not_called_faulty() -> None:
    found = origin_of(lambda second: torch.ones(3) * (2.0 + second))
    assert (found.kind, found.operation.name) == (OriginKind.outside, "aten.mul.Tensor")


def test_another_generator_state_is_another_input() -> None:
    def draw(second: bool) -> None:
        if second:
            torch.manual_seed(2)
        torch.rand(3)

    found = origin_of(draw)
    assert (found.kind, found.operation.name) == (OriginKind.outside, "aten.rand.default")


def test_another_way_of_the_program_is_named() -> None:
    found = origin_of(lambda second: torch.ones(3).sin() if second else torch.ones(3).cos())
    assert (found.kind, found.only_in) == (OriginKind.path, "one")
    assert found.operation.name == "aten.cos.default"


def test_a_run_that_does_more_is_named_by_what_it_does_more() -> None:
    found = origin_of(lambda second: torch.ones(3).sin() if second else torch.ones(3))
    assert (found.kind, found.operation.name) == (OriginKind.path, "aten.sin.default")
    assert found.only_in == "the other"


def test_what_is_done_more_and_changes_nothing_hides_no_later_origin() -> None:
    def step(second: bool) -> Tensor:
        x = torch.ones(3)
        if second:
            x.sin()
        return x.cos().exp()

    found = origin_of(step, Planted("aten.cos.default", 1))
    assert (found.kind, found.operation.name) == (OriginKind.operation, "aten.cos.default")
    assert found.unpaired == 1


def test_what_is_done_more_and_changes_what_comes_after_is_the_origin() -> None:
    def step(second: bool) -> Tensor:
        if second:
            torch.rand(3)  # draws from the generator that the next one draws from
        return torch.randn(3)

    found = origin_of(step)
    assert (found.kind, found.operation.name) == (OriginKind.path, "aten.rand.default")


def test_memory_that_nothing_has_written_to_is_told() -> None:
    def read(second: bool) -> Tensor:
        empty = torch.empty(4)
        empty.numpy()[:] = second  # as whoever had it before might have left it
        return empty + 1

    found = origin_of(read)
    assert (found.kind, found.operation.name) == (OriginKind.fresh, "aten.add.Tensor")


def test_memory_that_is_written_first_is_ordinary() -> None:
    watch = OpRecorder()
    with watch.record_step(1):
        empty = torch.empty(4)
        empty.copy_(torch.ones(4))
        torch.add(empty, 1, out=torch.empty(4))
    assert not any(one.reads_fresh for one in watch.operations)


def test_a_backward_operation_has_its_forwards_module_and_line() -> None:
    log = log_of("cnn")
    backward = next(one for one in log.operations if "convolution_backward" in one.name)
    forward = [one for one in log.operations if one.name == "aten.convolution.default"]
    assert backward.phase == "backward"
    assert backward.module == forward[1].module == "model.3"  # the last is the first to come back
    assert backward.source == forward[1].source
    assert "harness/scenario.py:" in backward.source


def test_phases_follow_each_other_in_a_step() -> None:
    phases = [one.phase for one in log_of("mlp").operations if one.step == 2]
    assert list(dict.fromkeys(phases)) == ["data", "forward", "backward", "optimizer"]


def test_a_log_comes_back_from_its_file_equal(tmp_path: Path) -> None:
    log = log_of("mlp")
    op_log.write(tmp_path / "log.json", log)
    assert op_log.read(tmp_path / "log.json") == log


def test_results_whose_shape_goes_by_the_data_are_logged() -> None:
    def logged(x: Tensor) -> OpLog:
        watch = OpRecorder()
        with watch.record_step(1):
            torch.nonzero(x), x[x > 0], torch.unique(x), torch.masked_select(x, x > 1)
        return OpLog("run", {"1": "same"}, watch.operations)

    one, other = (logged(torch.tensor(values)) for values in ([1.0, -2.0, 3.0], [1.0, 2.0, 3.0]))
    assert all(operation.outputs for operation in one.operations if "nonzero" in operation.name)
    assert first_difference(one, one) is None
    origin = first_difference(one, other)
    assert origin is not None
    assert (origin.kind, origin.index) == (OriginKind.outside, 0)
