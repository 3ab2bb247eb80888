"""The operations run: a training up to the end of its window, whose operations are logged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch import Tensor

from harness.core import op_log
from harness.core.errors import UsageError
from harness.core.op_log import Log
from harness.core.spec import RunSpec
from harness.scenario import Training
from harness.worker.torch_backend import components
from harness.worker.torch_backend.checkpoint import Recorder, restore, save
from harness.worker.torch_backend.digest import digest
from harness.worker.torch_backend.op_recorder import OpRecorder
from harness.worker.torch_backend.trace import reset
from harness.worker.torch_backend.training import prepared


@dataclass(frozen=True)
class WindowLog:
    log: Log
    kept: dict[str, Tensor]  # what the operation gave that was asked for
    final: dict[str, str]  # outcome digests, where the training was to come to its end


def watched(spec: RunSpec, states: Path, in_child: Callable[[], None] | None = None) -> WindowLog:
    """Raises UsageError where the training ends before the window begins."""
    assert spec.window is not None
    device = torch.device(spec.cell.device)
    first, last = spec.window
    watch = OpRecorder(spec.keep)
    reset(device)
    with watch.of_step(0) if first == 0 else nullcontext():
        training = prepared(spec, device, in_child)
    batches = iter(training.batches())
    if first > 1:
        saved = op_log.state_path(states, spec.cell.id, first)
        training, batches = taken_to(first, training, batches, spec, saved)
    watch.know(training)
    # before the building there is nothing of its own
    begins = {str(first): "" if first == 0 else whole_state(training)}
    loss = None
    for number in count(max(1, first)):
        if number > last and not spec.to_end:
            break
        with watch.of_step(number) if number <= last else nullcontext():
            batch = next(batches, None)
            if batch is None:
                break
            watch.step_itself()
            loss = training.step(batch)
    if loss is None and first > 0:
        raise past_the_end(spec.window, first - 1)
    final = {}
    if spec.to_end and loss is not None:
        final = components.final(training, loss.detach(), training.evaluate())
    return WindowLog(Log(spec.run_id, begins, watch.operations), watch.kept, final)


def past_the_end(window: tuple[int, int], steps: int) -> UsageError:
    return UsageError(f"the window {window[0]}-{window[1]} begins after the last step, {steps}")


def taken_to(
    step: int, training: Training, batches: Iterator[Any], spec: RunSpec, saved: Path
) -> tuple[Training, Iterator[Any]]:
    """The training as it is before a step: from its saved state, else from its start.

    The first to come here saves it. A training of several processes goes from its start always,
    for the others would wait for steps that are left out.
    """
    is_alone = not torch.distributed.is_initialized()
    if is_alone and saved.exists():
        if restore(saved, training, batches) == whole_state(training):
            return training, batches
        training = prepared(spec, torch.device(spec.cell.device))  # it keeps state elsewhere
        batches = iter(training.batches())
    recorder = Recorder()
    for number in range(1, step):
        recorder.note()
        batch = next(batches, None)
        if batch is None:
            assert spec.window is not None
            raise past_the_end(spec.window, number - 1)
        training.step(batch)
    if is_alone and not saved.exists():
        save(saved, training, recorder, whole_state(training))
    return training, batches


def whole_state(training: components.HasState) -> str:
    """Everything that the next step depends on, but for what the program itself keeps."""
    tensors = [
        *components.params(training),
        *components.buffers(training),
        *components.grads(training),
    ]
    plain = {"rng": components.rng(), "optimizer": components.optimizer(training)}
    return digest(tensors, plain)
