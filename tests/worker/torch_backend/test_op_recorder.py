"""Faults planted into operations of real trainings are found at those operations."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed
from harness.scenarios import attention, augmentation, cnn, indexing, lstm, mlp, resnet, upsample
from torch import Tensor

from harness.core import op_log
from harness.core.op_log import OpLog
from harness.diagnose.origin import OriginKind, first_difference
from harness.scenario import Context, Training
from harness.worker.torch_backend.op_recorder import OpRecorder
from harness.worker.torch_backend.op_schema import schema_of
from tests.conftest import with_slow
from tests.planted_fault import PlantedFault

CPU = Context(torch.device("cpu"))
STEPS = 2
PLANTED = 8  # faults in each training
THREADS = torch.get_num_threads()
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
# Operations that compute the digests themselves, or that give no new floating-point values.
NOT_PLANTED = ("aten.detach", "aten.clone", "aten._to_copy", "aten.copy_", "aten.view", "aten.lift")


def log_training(
    name: str, seed: int = 1, planted: AbstractContextManager[Any] | None = None
) -> OpLog:
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    recorder = OpRecorder()
    training = TRAININGS[name]()
    recorder.name_modules(training)
    batches = iter(training.batches())
    with planted or nullcontext():
        for number in range(1, STEPS + 1):
            with recorder.record_step(number):
                batch = next(batches)
                recorder.begin_step()
                training.step(batch)
    return OpLog("run", {"1": "same"}, recorder.operations)


def choose_targets(log: OpLog) -> list[int]:
    """Return the index of one random call of each suitable operation, in random order."""
    by_name: dict[str, list[int]] = {}
    for index, operation in enumerate(log.operations):
        if operation.outputs and not operation.name.startswith(NOT_PLANTED):
            by_name.setdefault(operation.name, []).append(index)
    draw = random.Random(0)
    chosen = draw.sample(sorted(by_name), len(by_name))
    return [draw.choice(by_name[name]) for name in chosen]


@pytest.mark.parametrize("training", with_slow(TRAININGS, "attention", "resnet"))
def test_a_planted_fault_is_found_at_its_operation(training: str) -> None:
    """The origin of a fault in one operation is that operation, in several phases of a step."""
    clean = log_training(training)
    phases = Counter[str]()
    for index in choose_targets(clean):
        if phases.total() == PLANTED:
            break
        target = clean.operations[index]
        occurrence = [op.name for op in clean.operations[: index + 1]].count(target.name)
        planted = PlantedFault(target.name, occurrence)
        try:
            faulty = log_training(training, planted=planted)
        except (StopIteration, RuntimeError):  # gives no floats, or shares its memory
            continue
        origin = first_difference(clean, faulty)
        assert origin is not None, target
        assert (origin.kind, origin.index) == (OriginKind.operation, index), (target, origin)
        phases[target.phase] += 1
    assert phases.total() >= 4
    assert len(phases) > 1


@pytest.mark.parametrize("training", TRAININGS)
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_clean_trainings_have_no_origin(training: str, seed: int) -> None:
    """Two equal trainings have no first difference and never read uninitialized memory."""
    if training == "indexing":
        torch.set_num_threads(1)
    try:
        first, second = (log_training(training, seed) for _ in range(2))
    finally:
        torch.set_num_threads(THREADS)
    assert first_difference(first, second) is None
    assert not any(operation.reads_fresh for operation in first.operations)


def test_a_backward_operation_has_the_module_and_line_of_its_forward() -> None:
    """The backward of a convolution is logged with the module and source line of its forward."""
    log = log_training("cnn")
    backward = next(op for op in log.operations if "convolution_backward" in op.name)
    forward = [op for op in log.operations if op.name == "aten.convolution.default"]
    assert backward.phase == "backward"
    assert backward.module == forward[1].module == "model.3"  # the last layer is the first
    assert backward.source == forward[1].source
    assert "harness/scenario.py:" in backward.source


def test_the_phases_of_a_step_are_in_order() -> None:
    """A step has the phases data, forward, backward and optimizer, in this order."""
    phases = [op.phase for op in log_training("mlp").operations if op.step == 2]
    assert list(dict.fromkeys(phases)) == ["data", "forward", "backward", "optimizer"]


def test_a_log_read_from_its_file_is_equal(tmp_path: Path) -> None:
    """Writing a log and reading it again gives an equal log."""
    log = log_training("mlp")
    op_log.write(tmp_path / "log.json", log)
    assert op_log.read(tmp_path / "log.json") == log


def test_outputs_with_data_dependent_shapes_are_logged() -> None:
    """Operations whose output shape depends on the values are logged and compared."""

    def log_selections(x: Tensor) -> OpLog:
        recorder = OpRecorder()
        with recorder.record_step(1):
            torch.nonzero(x), x[x > 0], torch.unique(x), torch.masked_select(x, x > 1)
        return OpLog("run", {"1": "same"}, recorder.operations)

    first, second = (
        log_selections(torch.tensor(values)) for values in ([1.0, -2.0, 3.0], [1.0, 2.0, 3.0])
    )
    assert all(operation.outputs for operation in first.operations if "nonzero" in operation.name)
    assert first_difference(first, first) is None
    origin = first_difference(first, second)
    assert origin is not None
    assert (origin.kind, origin.index) == (OriginKind.outside, 0)


def test_memory_written_before_a_read_is_not_reported() -> None:
    """Empty memory that is written first, or only written as ``out``, is no uninitialized read."""
    recorder = OpRecorder()
    with recorder.record_step(1):
        empty = torch.empty(4)
        empty.copy_(torch.ones(4))
        torch.add(empty, 1, out=torch.empty(4))
    assert not any(operation.reads_fresh for operation in recorder.operations)


def test_a_compiled_function_runs_eagerly_while_it_is_logged() -> None:
    """The operations of a function compiled without graph breaks are logged one by one."""
    compiled = torch.compile(lambda x: x.cos().exp(), fullgraph=True)
    recorder = OpRecorder()
    with recorder.record_step(1):
        compiled(torch.ones(3))
    names = [operation.name for operation in recorder.operations]
    assert names[-2:] == ["aten.cos.default", "aten.exp.default"]


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("allgather_", ["input_tensors"]),
        ("_allgather_base_", ["input_tensor"]),
        ("allreduce_", ["tensors"]),
        ("broadcast_", []),
        ("recv_", []),
        ("send", ["tensors"]),
    ],
)
def test_a_collective_only_reads_what_it_sends(name: str, read: list[str]) -> None:
    """Buffers that a collective receives into are not inputs, so they may be uninitialized."""
    schema = schema_of(getattr(torch.ops.c10d, name).default)
    tensors = [argument for argument in schema.arguments if "tensor" in argument]
    values = {argument: torch.ones(1) for argument in tensors if argument != "root_tensor"}
    inputs = schema.inputs([], values)
    assert [key for key, value in values.items() if any(value is one for one in inputs)] == read
